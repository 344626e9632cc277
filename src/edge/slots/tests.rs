use futures::FutureExt as _;
use order_actor::domain::Role;
use proptest::prelude::*;
use tokio::task::unconstrained;

use super::*;

fn known(role: Role, name: &str) -> Caller {
    Caller::Known(role, Arc::from(name))
}

#[tokio::test]
async fn a_flood_delays_its_own_calls() {
    let slots = Slots::default();
    let (flood, other) = (known(Role::Customer, "flood"), known(Role::Customer, "other"));
    let alone: Vec<Slot> = std::iter::from_fn(|| unconstrained(slots.slot(&flood)).now_or_never())
        .take(1_000)
        .collect();
    assert_eq!(alone.len(), PER_CALLER_MAX);
    assert!(unconstrained(slots.slot(&other)).now_or_never().is_some());
    drop(alone);
    let among: Vec<Slot> = std::iter::from_fn(|| unconstrained(slots.slot(&flood)).now_or_never())
        .take(1_000)
        .collect();
    assert_eq!(among.len(), PER_CALLER_MAX_CONTENDED);
    assert!(unconstrained(slots.slot(&known(Role::Ops, "anna"))).now_or_never().is_some());
}

#[tokio::test]
async fn many_floods_leave_slots_for_services_and_are_served_round_robin() {
    let slots = Slots::default();
    let customers: Vec<Caller> =
        (0..100).map(|number| known(Role::Customer, &number.to_string())).collect();
    let mut running = Vec::new();
    for customer in &customers {
        running.extend(
            std::iter::from_fn(|| unconstrained(slots.slot(customer)).now_or_never()).take(50),
        );
    }
    assert_eq!(running.len(), RUNNING_MAX - RESERVED);
    assert!(unconstrained(slots.slot(&known(Role::Service, "shop"))).now_or_never().is_some());
    // Two waiting callers are served alternately, regardless of arrival.
    let (first, second) = (customers[98].clone(), customers[99].clone());
    let mut waiting: Vec<_> = [&first, &first, &second]
        .into_iter()
        .map(|caller| Box::pin(unconstrained(slots.slot(caller))))
        .collect();
    for one in &mut waiting {
        assert!(futures::poll!(one.as_mut()).is_pending());
    }
    running.truncate(running.len() - 2);
    let (mut ready, mut begun) = (Vec::new(), Vec::new());
    for one in &mut waiting {
        let polled = futures::poll!(one.as_mut());
        ready.push(polled.is_ready());
        begun.push(polled);
    }
    assert_eq!(ready, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_call_holds_no_slot_until_it_is_back() {
    let slots = Slots::default();
    let shop = known(Role::Service, "shop");
    let mut calls = Vec::new();
    for _ in 0..PER_CALLER_MAX {
        calls.push(slots.of_call(&shop).await.unwrap());
    }
    assert!(slots.of_call(&shop).await.is_none());
    let forwarded = calls.pop().unwrap();
    forwarded.clone().end();
    let other = slots.of_call(&shop).await.unwrap();
    assert!(!forwarded.again().await);
    drop(other);
    assert!(forwarded.again().await);
    drop((forwarded, calls));
    assert_eq!(slots.state().running, 0);
}

#[test]
fn a_long_queue_is_seldom_cleaned_up() {
    let slots = Slots::default();
    let flood = known(Role::Customer, "flood");
    let mut state = slots.state();
    state.running = RUNNING_MAX;
    let mut waiting = Vec::new();
    let mut cleaned = 0;
    for _ in 0..8 * CLEAN_UP_AT {
        let before = state.queues.get(&flood).map_or(0, |queue| queue.clean_up_at);
        waiting.push(state.wait(&flood));
        cleaned += usize::from(state.queues[&flood].clean_up_at != before);
    }
    assert_eq!(cleaned, 3);
    // Cancelled calls are removed all the same.
    drop(waiting);
    for _ in 0..9 * CLEAN_UP_AT {
        drop(state.wait(&flood));
    }
    assert!(state.queues[&flood].waiting.len() <= 8 * CLEAN_UP_AT);
}

proptest! {
    #[test]
    fn no_slot_leaks_whatever_is_dropped(
        steps in proptest::collection::vec((0_u8..6, any::<bool>()), 1..400)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let slots = Slots::default();
            let (mut waiting, mut running) = (Vec::new(), Vec::new());
            for (number, goes) in steps {
                let role = if number < 4 { Role::Customer } else { Role::Service };
                let caller = known(role, &number.to_string());
                if goes && number % 2 == 0 {
                    running.pop();
                } else if goes {
                    waiting.pop();
                } else {
                    let slots = slots.clone();
                    waiting.push(Box::pin(async move { slots.slot(&caller).await }));
                }
                for mut one in std::mem::take(&mut waiting) {
                    match futures::poll!(one.as_mut()) {
                        std::task::Poll::Ready(slot) => running.push(slot),
                        std::task::Poll::Pending => waiting.push(one),
                    }
                }
                let state = slots.state();
                assert_eq!(state.running, running.len());
                let sum: usize = state.queues.values().map(|queue| queue.running).sum();
                assert_eq!(sum, running.len());
            }
            drop(waiting);
            drop(running);
            let mut state = slots.state();
            state.serve();
            assert_eq!((state.running, state.open_running), (0, 0));
            assert!(state.queues.values().all(|queue| queue.running == 0));
        });
    }
}
