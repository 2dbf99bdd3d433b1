//! Random programs on the word and its waiters, compared with a model. A fuzzer runs the same steps
//! (`fuzz/`).

use proptest::prelude::*;

use crate::Ready;
use crate::readiness::model::{Step, play};

fn states() -> impl Strategy<Value = Ready> {
    (0..=Ready::ALL.bits()).prop_map(Ready::from_bits)
}

fn step() -> impl Strategy<Value = Step> {
    let some = || (1..=Ready::ALL.bits()).prop_map(Ready::from_bits);
    let any = any::<usize>;
    prop_oneof![
        4 => Just(Step::Look),
        4 => states().prop_map(Step::Publish),
        4 => (any(), prop::bool::ANY).prop_map(|(look, closed_too)| Step::Clear(look, closed_too)),
        1 => Just(Step::ForgetClosed),
        1 => Just(Step::Close),
        6 => (some(), any()).prop_map(|(mask, task)| Step::Wait(mask, task)),
        3 => (any(), any()).prop_map(|(wait, task)| Step::PollWait(wait, task)),
        2 => any().prop_map(Step::EndWait),
        3 => (any(), any()).prop_map(|(side, task)| Step::PollSide(side, task)),
        1 => (states(), prop::array::uniform3(0..4_u8)).prop_map(|(initial, left)| Step::Renew(initial, left)),
    ]
}

proptest! {
    #[test]
    fn the_word_and_its_waiters_agree_with_a_model(steps in prop::collection::vec(step(), 0..120)) {
        play(steps);
    }
}
