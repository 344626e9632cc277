//! Names of statuses of gRPC.

use tonic::Code;

/// A status code as `google.rpc.Code` spells it.
pub fn code_name(code: Code) -> &'static str {
    service_edge::status_code(code).map_or("OK", shared_events::contract::StatusCode::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_grpc_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            (0..=16).map(Code::from).map(code_name).collect();
        assert_eq!(names.len(), 17, "{names:?}");
        assert_eq!((code_name(Code::Ok), code_name(Code::NotFound)), ("OK", "NOT_FOUND"));
    }
}
