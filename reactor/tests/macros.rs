//! `#[reactor::main]` and `#[reactor::test]`.

use std::error::Error;
use std::rc::Rc;

use reactor::{Handle, Reactor, ShardId, yield_now};

#[reactor::test]
async fn a_test_runs_on_a_shard_that_is_not_pinned() {
    let local = Rc::new(1);
    yield_now().await;
    assert_eq!(*local, 1);
    assert_eq!(ShardId::current(), Some(Handle::current().shard(0)));
    let metrics = Handle::current().metrics();
    assert_eq!(metrics.shards.len(), 1);
    assert_eq!(metrics.shards[0].cpu, None);
}

#[reactor::test(shards = 1 + 1)]
async fn a_test_may_have_more_shards() {
    assert_eq!(Handle::current().shards().len(), 2);
    let task = Handle::current().spawn_on(Handle::current().shard(1), || async {
        std::thread::current().name().map(str::to_owned)
    });
    assert_eq!(task.await.unwrap().as_deref(), Some("shard-1"));
}

#[reactor::test(builder = Reactor::builder().shards(1).thread_name("named"))]
async fn a_test_may_have_a_builder() {
    assert_eq!(std::thread::current().name(), Some("named-0"));
}

#[reactor::test]
async fn a_test_may_return_a_result() -> Result<(), Box<dyn Error>> {
    let number: u32 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[reactor::test]
#[should_panic(expected = "the test returned an error")]
async fn an_error_fails_the_test() -> Result<(), Box<dyn Error>> {
    let _: u32 = "seven".parse()?;
    Ok(())
}

#[reactor::test]
#[should_panic(expected = "in the body")]
async fn a_panic_of_the_body_is_the_tests() {
    yield_now().await;
    panic!("in the body");
}

mod program {
    use std::process::{ExitCode, Termination};

    #[reactor::main(shards = 2)]
    pub(super) async fn main() -> Result<(), Box<dyn std::error::Error>> {
        let sum = reactor::spawn(async { 1 + 1 }).await?;
        if sum == 2 {
            Err("the sum is two".into())
        } else {
            Ok(())
        }
    }

    pub(super) mod silent {
        #[reactor::main]
        pub(in super::super) async fn main() {
            assert!(reactor::ShardId::current().is_some());
        }
    }

    pub(super) mod coded {
        use std::process::ExitCode;

        #[reactor::main(builder = reactor::Reactor::builder().shards(1))]
        pub(in super::super) async fn main() -> ExitCode {
            ExitCode::from(3)
        }
    }

    pub(super) fn is_failure(code: ExitCode) -> bool {
        code.report() == ExitCode::FAILURE
    }
}

#[test]
fn a_main_returns_what_a_program_returns() {
    assert!(program::is_failure(program::main()));
    assert!(program::silent::main() == std::process::ExitCode::SUCCESS);
    assert!(program::coded::main() == std::process::ExitCode::from(3));
}
