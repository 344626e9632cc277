use super::super::routes::{Routes, RoutesError};

/// The routes of a service whose first method has this option, and whose second one is
/// `GET /v1/again`.
fn routes_with(option: &str) -> Result<Routes, RoutesError> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "syntax = \"proto3\";\npackage other.v1;\nimport \"google/api/annotations.proto\";\n\
         service Other {{\n  rpc Ask(Question) returns (Question) {{\n    option \
         (google.api.http) = {{{option}}};\n  }}\n  rpc Again(Question) returns (Question) {{\n    \
         option (google.api.http) = {{get: \"/v1/again\"}};\n  }}\n}}\nmessage Question {{\n  \
         string name = 1;\n  Question inner = 2;\n  repeated string names = 3;\n}}\n"
    );
    std::fs::write(folder.path().join("other.proto"), text).unwrap();
    let mut compiler =
        protox::Compiler::new([folder.path().to_str().unwrap(), "../proto"]).unwrap();
    compiler.include_imports(true).open_files(["other.proto"]).unwrap();
    Routes::new([compiler.encode_file_descriptor_set().as_slice()], |_| true)
}

/// Two readers have the routes from here, the transcoder and the OpenAPI document: what is refused
/// here is in neither.
#[test]
fn options_of_other_kinds_are_refused_by_name() {
    for (option, expected) in [
        (r#"get: "/v1/{missing}""#, "other.v1.Other.Ask: missing in its path is no text or"),
        (r#"get: "/v1/{inner}""#, "other.v1.Other.Ask: inner in its path is no text or"),
        (r#"get: "/v1/{names}""#, "other.v1.Other.Ask: names in its path is no text or"),
        (
            r#"get: "/v1/{name=things/**}""#,
            r#"other.v1.Other.Ask: "/v1/{name=things/**}" is not a path of literals"#,
        ),
        (
            r#"get: "/v1/{inner.name}""#,
            r#"other.v1.Other.Ask: "/v1/{inner.name}" is not a path of literals"#,
        ),
        (
            r#"post: "/v1/a" body: "*" response_body: "name""#,
            "other.v1.Other.Ask: a part of an answer as its body is not supported",
        ),
        (
            r#"post: "/v1/a" body: "name""#,
            r#"other.v1.Other.Ask: its body is "name", not "*" or absent"#,
        ),
        (r#"post: "/v1/a""#, "other.v1.Other.Ask: a GET has no body, and every other method has"),
        (
            r#"get: "/v1/a" body: "*""#,
            "other.v1.Other.Ask: a GET has no body, and every other method has",
        ),
        (r#"body: "*""#, "other.v1.Other.Ask has no route"),
        (
            r#"get: "/v1/again""#,
            "/other.v1.Other/Ask and /other.v1.Other/Again have the same route",
        ),
    ] {
        let error = routes_with(option).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{option}: {error}");
    }
}

#[test]
fn a_route_says_what_its_option_says() {
    let option = r#"put: "/v1/things/{name}:ask" body: "*" additional_bindings: {get: "/v1/ask"}"#;
    let routes = routes_with(option).unwrap();
    let said: Vec<_> = routes
        .iter()
        .map(|route| {
            let fields: Vec<&str> = route.path_fields().iter().map(|field| field.name()).collect();
            let of = route.descriptor().full_name();
            (of, route.http_method().as_str(), route.template(), fields, route.has_body())
        })
        .collect();
    let ask = "other.v1.Other.Ask";
    assert_eq!(
        said,
        [
            (ask, "PUT", "/v1/things/{name}:ask", vec!["name"], true),
            (ask, "GET", "/v1/ask", vec![], false),
            ("other.v1.Other.Again", "GET", "/v1/again", vec![], false),
        ]
    );
}

/// The routes of a method that creates something and says so while it is accepted.
fn routes_accepting(option: &str) -> Result<Routes, RoutesError> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "syntax = \"proto3\";\npackage other.v1;\nimport \"google/api/annotations.proto\";\n\
         import \"ordinal/policy/v1/policy.proto\";\nservice Other {{\n  rpc Ask(Thing) returns \
         (Thing) {{\n    option (google.api.http) = {{post: \"/v1/things\" body: \"*\"}};\n    \
         option (ordinal.policy.v1.accepted) = {{{option}}};\n  }}\n}}\nmessage Thing {{\n  \
         string name = 1;\n  Kind kind = 2;\n  Thing inner = 3;\n}}\nenum Kind {{\n  \
         KIND_UNSPECIFIED = 0;\n  KIND_OPEN = 1;\n}}\n"
    );
    std::fs::write(folder.path().join("other.proto"), text).unwrap();
    let mut compiler =
        protox::Compiler::new([folder.path().to_str().unwrap(), "../proto"]).unwrap();
    compiler.include_imports(true).open_files(["other.proto"]).unwrap();
    Routes::new([compiler.encode_file_descriptor_set().as_slice()], |_| true)
}

#[test]
fn what_is_accepted_names_enums_of_the_answer() {
    let option = r#"all_of: [
        {field: "kind" value: "KIND_OPEN"}, {field: "inner.kind" value: "KIND_UNSPECIFIED"}
    ]"#;
    let routes = routes_accepting(option).unwrap();
    let said = routes.iter().next().unwrap().accepted_while();
    let expected = "`kind` is `KIND_OPEN` and `inner.kind` is `KIND_UNSPECIFIED`";
    assert_eq!(said.as_deref(), Some(expected));
    for (option, expected) in [
        ("", "accepted without a condition"),
        (r#"all_of: {field: "kind" value: "KIND_SHUT"}"#, "its answer has no kind that is"),
        (r#"all_of: {field: "name" value: "KIND_OPEN"}"#, "its answer has no name that is"),
        (r#"all_of: {field: "inner" value: "KIND_OPEN"}"#, "its answer has no inner that is"),
        (r#"all_of: {field: "other.kind"}"#, "its answer has no other.kind that is"),
    ] {
        let error = routes_accepting(option).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("other.v1.Other.Ask: {expected}")), "{error}");
    }
}
