//! gRPC-Web and Connect.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use super::*;

const LIST: &str = "/ordinal.orders.v1.OrderService/ListOrders";
const WATCH: &str = "/ordinal.orders.v1.OrderService/WatchOrders";

fn typed(path: &str, kind: &str, body: Vec<u8>) -> Request<Body> {
    Request::post(path)
        .header("host", "localhost")
        .header("content-type", kind)
        .header("ordinal-forwarded", "1")
        .body(Body::new(http_body_util::Full::from(body)))
        .unwrap()
}

/// A request for a page of seven, as a frame.
fn request(process: &Process) -> Vec<u8> {
    let input = process.pool.get_message_by_name("ordinal.orders.v1.ListOrdersRequest").unwrap();
    let message = DynamicMessage::deserialize(input, json!({ "page_size": 7 })).unwrap();
    frame(&message).to_vec()
}

async fn bytes(process: &Process, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
    let (head, body) = process.call(request).await.into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn grpc_web_has_its_status_in_the_last_frame() {
    let process = Process::new(&[json!({ "next_page_token": "n" })]);
    let frames = request(&process);
    let binary = typed(LIST, "application/grpc-web+proto", frames.clone());
    let (status, headers, answer) = bytes(&process, binary).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "application/grpc-web+proto")
    );
    let last = answer.iter().position(|byte| *byte == 0x80).unwrap();
    let trailers = String::from_utf8(answer[last + 5..].to_vec()).unwrap();
    assert_eq!(trailers, "grpc-status: 0\r\n");
    let asked = process.asked().remove(0);
    assert_eq!((asked.path.as_str(), &asked.message), (LIST, &json!({ "pageSize": 7 })));
    assert!(!asked.headers.contains_key("ordinal-forwarded"));
    // The same as texts, in parts that end where they like.
    let parts = [STANDARD.encode(&frames[..4]), STANDARD.encode(&frames[4..])].concat();
    let text = typed(LIST, "application/grpc-web-text", parts.into_bytes());
    let (_, _, written) = bytes(&process, text).await;
    let decoded: Vec<u8> =
        written.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect();
    assert_eq!(decoded, answer);
    // A stream that is refused at once.
    let refused = Process::new(&[]).ending(Status::permission_denied("no"));
    let watch = typed(WATCH, "application/grpc-web", vec![0; 5]);
    let (status, headers, answer) = bytes(&refused, watch).await;
    let text = String::from_utf8_lossy(&answer[5..]).into_owned();
    assert!(status == 200 && text.contains("grpc-status: 7\r\n"), "{text}");
    assert!(!headers.contains_key("grpc-status"));
}

#[tokio::test]
async fn connect_has_one_message_each_way() {
    let process = Process::new(&[json!({ "next_page_token": "n" })]);
    let json_call = typed(LIST, "application/json", br#"{"pageSize": 7}"#.to_vec());
    let (status, headers, answer) = process.json(json_call).await;
    assert_eq!((status, &answer["next_page_token"]), (200, &json!("n")));
    assert_eq!(headers["content-type"], "application/json");
    let message = request(&process)[5..].to_vec();
    let (status, headers, answer) =
        bytes(&process, typed(LIST, "application/proto", message)).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "application/proto"));
    let output = process.pool.get_message_by_name("ordinal.orders.v1.ListOrdersResponse").unwrap();
    let answer = DynamicMessage::decode(output, answer.as_slice()).unwrap();
    assert_eq!(answer.get_field_by_name("next_page_token").unwrap().as_str(), Some("n"));
    let asked: Vec<Value> = process.asked().into_iter().map(|asked| asked.message).collect();
    assert_eq!(asked, [json!({ "pageSize": 7 }), json!({ "pageSize": 7 })]);

    let wrong = typed(LIST, "application/json", br#"{"page": 7}"#.to_vec());
    let (status, _, error) = process.json(wrong).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")), "{error}");
    let details = tonic_types::ErrorDetails::with_error_info("ORDER_HELD", "ordinal", []);
    let held = Status::with_error_details(Code::FailedPrecondition, "held", details);
    let refused = Process::new(&[]).ending(held);
    let (status, _, error) = refused.json(typed(LIST, "application/json", b"{}".to_vec())).await;
    assert_eq!((status, &error["code"]), (400, &json!("failed_precondition")), "{error}");
    assert_eq!(error["details"][0]["type"], "google.rpc.ErrorInfo");
    let stream = typed(WATCH, "application/json", b"{}".to_vec());
    assert_eq!(process.json(stream).await.0, 415);
    let plain = typed(LIST, "text/plain", b"{}".to_vec());
    assert_eq!(process.json(plain).await.0, 415);
}

#[tokio::test]
async fn grpc_web_is_a_post_to_the_path_of_a_method() {
    let process = Process::new(&[json!({})]);
    for (method, path, expected, code) in [
        ("GET", "/v1/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/v1/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("POST", "/ordinal.orders.v1.OrderService/Nothing", 404, "ROUTE_NOT_FOUND"),
        ("GET", LIST, 405, "METHOD_NOT_ALLOWED"),
        ("PUT", LIST, 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/orders", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/orders", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", "/v1/orders", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        for kind in ["application/grpc-web", "application/grpc-web-text+proto"] {
            let mut request = typed(path, kind, vec![0; 5]);
            *request.method_mut() = method.parse().unwrap();
            let (status, headers, problem) = process.json(request).await;
            assert_eq!((status, &problem["code"]), (expected, &json!(code)), "{method} {path}");
            let allow = headers.get("allow").map(|allow| allow.to_str().unwrap());
            assert_eq!(allow.is_some(), expected == 405, "{method} {path}: {allow:?}");
        }
    }
    assert!(process.asked().is_empty());
}
