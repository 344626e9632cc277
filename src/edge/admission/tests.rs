use std::time::Duration;

use super::*;
use crate::edge::calls::Rpc;
use crate::edge::shares::Numbers;

const ORDERS: Rpc = Rpc { name: "ordinal.orders.v1.OrderService", message_bytes_max: 1024 };

/// The deadline that a service sees of a call whose message took so long to arrive.
async fn deadline_after(waited: Duration, deadline: &'static str) -> String {
    let admission = Admission::new(
        (Access::development(), Arc::new(order_actor::clock::SystemClock)),
        Arc::new(Calls::new([order_actor::grpc::FILE_DESCRIPTOR_SET], [ORDERS])),
        Shares::new(Numbers::default()),
        Slots::default(),
    );
    let (sender, deadline_seen) = tokio::sync::oneshot::channel();
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let inner = tower::service_fn(move |request: Request<Body>| {
        let timeout = request.headers()["grpc-timeout"].to_str().unwrap().to_owned();
        let sender = sender.lock().unwrap().take().unwrap();
        sender.send(timeout).unwrap();
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let message = async move {
        tokio::time::sleep(waited).await;
        Ok::<_, Status>(http_body::Frame::data(bytes::Bytes::from_static(&[0; 5])))
    };
    let body = http_body_util::StreamBody::new(futures::stream::once(Box::pin(message)));
    let request = Request::post("/ordinal.orders.v1.OrderService/GetOrder")
        .header("grpc-timeout", deadline)
        .body(Body::new(body))
        .unwrap();
    admission.layer(inner).call(request).await.unwrap();
    deadline_seen.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_time_to_receive_a_message_is_taken_from_the_deadline() {
    assert_eq!(deadline_after(Duration::from_millis(1_200), "3S").await, "1800m");
    assert_eq!(deadline_after(Duration::ZERO, "3S").await, "3S");
}
