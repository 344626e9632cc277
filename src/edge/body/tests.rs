use std::net::IpAddr;

use futures::FutureExt as _;
use http_body::Body as _;
use http_body_util::{Full, StreamBody};

use super::answer::{LAST_PIECE, PIECE, TAKEN_WITHIN};
use super::*;
use crate::edge::shares::{Caller, Numbers, Shares};

fn held() -> (Shares, Held) {
    let shares = Shares::new(Numbers::default());
    let caller = Caller::Unauthenticated(IpAddr::from([127, 0, 0, 1]));
    let held = shares.take(&caller, Amount { calls: 1, ..Amount::default() }).unwrap();
    (shares, held)
}

fn of(pieces: Vec<&'static [u8]>) -> Body {
    let frames = pieces.into_iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::from(piece))));
    Body::new(StreamBody::new(futures::stream::iter(frames)))
}

async fn read(body: Body, most: usize) -> Result<Bytes, String> {
    use tonic_types::StatusExt as _;
    let (_shares, mut held) = held();
    let read = message(body, most, &mut held).await;
    read.map_err(|status| status.get_details_error_info().unwrap().reason)
}

#[tokio::test(start_paused = true)]
async fn a_message_arrives_complete_in_any_number_of_frames() {
    let whole: &[u8] = &[0, 0, 0, 0, 3, 7, 8, 9];
    for cut in 0..whole.len() {
        let (one, two) = whole.split_at(cut);
        assert_eq!(read(of(vec![one, two]), 3).await.as_deref(), Ok(whole), "{cut}");
    }
    let body = Body::new(Full::new(Bytes::from_static(whole)));
    assert_eq!(read(body, 3).await.as_deref(), Ok(whole));
    // Whoever says only afterwards that nothing follows.
    assert_eq!(read(of(vec![whole, &[]]), 3).await.as_deref(), Ok(whole));
    let refused = |reason: &str| Err(reason.to_owned());
    assert_eq!(read(of(vec![whole, &[], &[1]]), 3).await, refused("MALFORMED_MESSAGE"));
    assert_eq!(read(of(vec![whole]), 2).await, refused("MESSAGE_TOO_LARGE"));
    assert_eq!(read(of(vec![whole, &[1]]), 3).await, refused("MALFORMED_MESSAGE"));
    assert_eq!(read(of(vec![&whole[..7]]), 3).await, refused("MALFORMED_MESSAGE"));
    assert_eq!(read(of(vec![]), 3).await, refused("MALFORMED_MESSAGE"));
    assert_eq!(read(of(vec![&[0, 0x7f, 0, 0, 0]]), usize::MAX).await, refused("OVERLOADED"));
    let pending = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>());
    assert_eq!(read(Body::new(pending), 3).await, refused("MESSAGE_TOO_SLOW"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_stuck_and_an_idle_one_is_not() {
    let (_shares, held) = held();
    let progress = ReadProgress::new();
    let pieces = futures::stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(b"x")))]);
    let pieces = futures::StreamExt::chain(pieces, futures::stream::pending());
    let mut answer =
        Answer::new(Body::new(StreamBody::new(pieces)), held, progress.clone(), None, None);
    answer.frame().await.unwrap().unwrap();
    tokio::time::advance(TAKEN_WITHIN + Duration::from_secs(1)).await;
    assert!(progress.is_stuck());
    // The client polls for more and there is nothing: it waits for us.
    assert!(answer.frame().now_or_never().is_none());
    tokio::time::advance(TAKEN_WITHIN * 10).await;
    assert!(!progress.is_stuck());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_counted_until_all_but_its_last_piece_is_taken() {
    let (shares, held) = held();
    let whole = Bytes::from((0..100_000_u32).map(|byte| byte.to_le_bytes()[0]).collect::<Vec<_>>());
    let answer =
        Answer::new(Body::new(Full::new(whole.clone())), held, ReadProgress::new(), None, None);
    let mut answer = Box::pin(answer);
    let (mut received, mut sizes) = (BytesMut::new(), Vec::new());
    while let Some(frame) = answer.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        assert_eq!(shares.bytes(), whole.len() - received.len());
        received.extend_from_slice(&piece);
        sizes.push(piece.len());
        let hint = answer.size_hint();
        assert_eq!(hint.exact(), Some(as_u64(whole.len() - received.len())));
        assert_eq!(answer.is_end_stream(), received.len() == whole.len());
    }
    assert_eq!(received, whole);
    let last = sizes.pop().unwrap();
    assert!(last == LAST_PIECE && sizes.iter().all(|size| *size <= PIECE), "{sizes:?}");
    drop(answer);
    assert_eq!(shares.bytes(), 0);
}

/// A stream of these frames, with this gap before each.
fn paced(frames: Vec<Vec<u8>>, gap: Duration) -> Body {
    let frames = futures::stream::unfold(frames.into_iter(), move |mut left| async move {
        let frame = left.next()?;
        sleep(gap).await;
        Some((Ok::<_, Status>(Frame::data(Bytes::from(frame))), left))
    });
    Body::new(StreamBody::new(Box::pin(frames)))
}

fn reading(body: Body) -> (Shares, Unanswered, Messages) {
    let (shares, held) = held();
    let unanswered = Unanswered::default();
    let messages = Messages::new(body, 1 << 20, held.empty(), unanswered.clone());
    (shares, unanswered, messages)
}

fn reason(frame: Option<Result<Frame<Bytes>, Status>>) -> String {
    use tonic_types::StatusExt as _;
    frame.unwrap().unwrap_err().get_details_error_info().unwrap().reason
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_stream_has_its_own_deadline() {
    let message = |length: u32| {
        [&[0][..], &length.to_be_bytes(), &vec![7; usize::try_from(length).unwrap()]].concat()
    };
    // A proxy cuts the stream into frames of its own: most end inside a message.
    let whole: Vec<u8> = (0..100).flat_map(|_| message(1_000)).collect();
    for size in [997, 1_004, 1_500, 2_000] {
        let frames = whole.chunks(size).map(<[u8]>::to_vec).collect();
        let (_shares, _, mut messages) = reading(paced(frames, MESSAGE_WITHIN / 3));
        let mut received = 0;
        while let Some(frame) = messages.frame().await {
            received += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(received, whole.len(), "{size}");
    }
    // A message that trickles in is refused, regardless of those before it.
    let mut frames = vec![[message(1_000), message(1_000)[..500].to_vec()].concat()];
    frames.extend((0..100).map(|_| vec![7]));
    let (_shares, _, mut messages) = reading(paced(frames, Duration::from_secs(1)));
    let begun = Instant::now();
    let ended = loop {
        match messages.frame().await {
            Some(Ok(_)) => {}
            ended => break reason(ended),
        }
    };
    assert_eq!(ended, "MESSAGE_TOO_SLOW");
    assert!(begun.elapsed() <= MESSAGE_WITHIN + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_message_is_suspended_while_nobody_reads() {
    let first = [&[0, 0, 0, 0, 8][..], &[1; 4]].concat();
    let frames = vec![first, vec![2; 2], vec![3; 2]];
    let (_shares, _, mut messages) = reading(paced(frames, MESSAGE_WITHIN / 3));
    messages.frame().await.unwrap().unwrap();
    // The reader is busy, also after a poll that found nothing.
    tokio::time::advance(MESSAGE_WITHIN * 5).await;
    messages.frame().await.unwrap().unwrap();
    assert!(messages.frame().now_or_never().is_none());
    tokio::time::advance(MESSAGE_WITHIN * 5).await;
    messages.frame().await.unwrap().unwrap();
    assert!(messages.frame().await.is_none());
    // The deadline runs while the reader waits for the rest.
    let pending = futures::stream::pending::<Result<Frame<Bytes>, Status>>();
    let first = Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 8, 1])));
    let body = futures::StreamExt::chain(futures::stream::iter([first]), pending);
    let (_shares, _, mut messages) = reading(Body::new(StreamBody::new(body)));
    messages.frame().await.unwrap().unwrap();
    tokio::time::advance(MESSAGE_WITHIN * 5).await;
    let asked = Instant::now();
    assert_eq!(reason(messages.frame().await), "MESSAGE_TOO_SLOW");
    assert!((MESSAGE_WITHIN..MESSAGE_WITHIN * 2).contains(&asked.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn bytes_read_from_a_stream_count_until_they_are_answered() {
    let length = 300 * 1024_u32;
    let size = usize::try_from(length).unwrap();
    let message = [&[0][..], &length.to_be_bytes(), &vec![7; size]].concat();
    let (shares, unanswered, mut messages) =
        reading(paced(vec![message.clone(), message], Duration::from_secs(1)));
    messages.frame().await.unwrap().unwrap();
    assert_eq!(shares.bytes(), size);
    unanswered.set(size);
    messages.frame().await.unwrap().unwrap();
    let before = size / UNANSWERED_STEP * UNANSWERED_STEP;
    assert_eq!(shares.bytes(), before + size);
    unanswered.set(0);
    assert!(messages.frame().await.is_none());
    assert_eq!(shares.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_message_is_refused_where_one_is_allowed() {
    let message: &[u8] = &[0, 0, 0, 0, 1, 7];
    for frames in [vec![message, message], vec![&[0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0][..]]] {
        let (_shares, _, mut messages) = reading(of(frames));
        messages.only_one();
        let ended = loop {
            match messages.frame().await {
                Some(Ok(_)) => {}
                ended => break reason(ended),
            }
        };
        assert_eq!(ended, "MALFORMED_MESSAGE");
    }
}
