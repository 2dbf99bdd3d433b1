//! Tests of the layout of the word and of its transitions, on one thread. The models in
//! `crate::loom` play the transitions on several threads.

use super::{Mobility, Output, Paused, REF_ONE, REFS_MAX, Start, State, Wake};
use crate::sync::Ordering;
use crate::task::info::TaskState;

/// The lowest home, the highest, and two that have no bit in common.
const HOMES: [u16; 4] = [0, 1023, 0b01_0101_0101, 0b10_1010_1010];

fn word(state: &State) -> usize {
    state.0.load(Ordering::Relaxed)
}

#[test]
fn a_task_that_moves_changes_its_home_and_nothing_else() {
    for from in HOMES {
        for to in HOMES {
            let state = State::new(3, Mobility::Mobile, from);
            state.set_home(to);
            assert_eq!(state.home(), to);
            assert_eq!(word(&state), word(&State::new(3, Mobility::Mobile, to)));
        }
    }
}

#[test]
fn a_life_of_a_task_leaves_its_home_its_mobility_and_its_references_alone() {
    for home in HOMES {
        for mobility in [Mobility::Mobile, Mobility::Pinned] {
            let state = State::new(3, mobility, home);
            let check = |refs: usize, phase: Option<TaskState>| {
                assert_eq!(state.home(), home);
                assert_eq!(state.is_mobile(), mobility == Mobility::Mobile);
                assert_eq!(word(&state) / REF_ONE, refs);
                assert_eq!(state.phase(), phase);
            };
            check(3, Some(TaskState::Ready));
            assert_eq!(state.wake(), Wake::Nothing, "it is in its queue");
            assert_eq!(state.start(), Start::Poll);
            check(3, Some(TaskState::Running));
            assert_eq!(state.wake(), Wake::Nothing, "it runs");
            assert_eq!(state.pause(), Paused::Requeue);
            check(3, Some(TaskState::Ready));
            assert_eq!(state.start(), Start::Poll);
            assert_eq!(state.pause(), Paused::Idle);
            check(2, Some(TaskState::Waiting));
            assert_eq!(state.cancel(), Wake::Enqueue);
            state.retain();
            check(3, Some(TaskState::Ready));
            assert_eq!(state.start(), Start::Cancel);
            assert!(!state.is_completed());
            assert_eq!(state.complete(), Output::ForHandle);
            assert!(state.is_completed());
            check(3, None);
            assert_eq!(state.wake(), Wake::Nothing, "it is over");
            assert_eq!(state.detach(), Output::ForHandle);
            check(3, None);
            assert_eq!([(); 3].map(|()| state.release()), [false, false, true]);
        }
    }
}

#[test]
fn an_output_is_the_handles_until_the_handle_is_gone() {
    let state = State::new(2, Mobility::Pinned, 0);
    assert_eq!(state.start(), Start::Poll);
    assert_eq!(state.detach(), Output::Unwanted);
    assert_eq!(state.complete(), Output::Unwanted);
    assert_eq!(state.wake(), Wake::Nothing);
    assert_eq!(word(&state) / REF_ONE, 2);
}

#[test]
fn the_count_of_references_has_all_bits_above_the_home() {
    let refs = REFS_MAX / REF_ONE;
    assert_eq!(refs, (1 << 47) - 1);
    let state = State::new(refs, Mobility::Mobile, 1023);
    assert_eq!(word(&state) / REF_ONE, refs);
    assert_eq!(state.home(), 1023);
}
