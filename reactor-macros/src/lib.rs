//! The attributes `#[reactor::main]` and `#[reactor::test]`, which `shard-reactor` exports with its
//! feature `macros`.
//!
//! An attribute wraps the function in another one of the same name, which starts a reactor and runs
//! the original on its first shard. The function itself is passed on unchanged, so this crate
//! reads only its head and needs no parser of Rust. Tests are in `reactor/tests/macros.rs`.

#![forbid(unsafe_code)]

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Runs an async `main` on the first shard of a reactor.
///
/// The body need not be `Send`. It runs as a task of the shard, so it must not block. The function
/// may return anything that a `main` may return. When it returns, the reactor is dropped, and tasks
/// that still run are dropped with it.
///
/// # Arguments
///
/// - `shards = N`: the number of shards. Without it, a reactor has its usual number.
/// - `start_paused = BOOL`: one shard, whose clock is paused (feature `test-util` of
///   `shard-reactor`).
/// - `builder = EXPR`: a `reactor::Builder` with all settings.
///
/// # Panics
///
/// The function panics if the reactor cannot be started, and with the body's own panic.
///
/// # Examples
///
/// ```ignore
/// #[reactor::main]
/// async fn main() -> std::io::Result<()> {
///     reactor::time::sleep(std::time::Duration::from_millis(1)).await;
///     Ok(())
/// }
///
/// #[reactor::main(builder = reactor::Reactor::builder().shards(2).thread_name("edge"))]
/// async fn main() {}
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(Kind::Main, arguments, item).unwrap_or_else(|error| error.into_tokens())
}

/// Runs an async test on the first shard of a reactor of its own.
///
/// The reactor has one shard and pins none, so tests that run at the same time do not share a CPU
/// while others are idle. The body need not be `Send`. The attributes `#[should_panic]` and
/// `#[ignore]` work as usual. A test may return a `Result`, and fails with an error.
///
/// # Arguments
///
/// - `shards = N`: the number of shards.
/// - `start_paused = BOOL`: one shard, whose clock is paused (feature `test-util` of
///   `shard-reactor`).
/// - `builder = EXPR`: a `reactor::Builder` with all settings.
///
/// # Examples
///
/// ```ignore
/// #[reactor::test]
/// async fn two_tasks_meet() {
///     let one = reactor::spawn(async { 1 });
///     assert_eq!(one.await.unwrap(), 1);
/// }
///
/// #[reactor::test(shards = 2)]
/// async fn on_two_shards() {}
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(Kind::Test, arguments, item).unwrap_or_else(|error| error.into_tokens())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Main,
    Test,
}

/// A mistake of the caller, and its place.
struct Error {
    message: &'static str,
    at: Span,
}

impl Error {
    fn new(message: &'static str, at: Span) -> Self {
        Self { message, at }
    }

    fn into_tokens(self) -> TokenStream {
        let text = format!("::core::compile_error!({:?});", self.message);
        let tokens: TokenStream = text.parse().expect("a macro call with a string");
        tokens
            .into_iter()
            .map(|mut token| {
                token.set_span(self.at);
                token
            })
            .collect()
    }
}

fn expand(kind: Kind, arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let builder = read_arguments(arguments)?;
    let Head {
        outer,
        function,
        name,
    } = read_function(item)?;

    let mut body = function;
    body.extend(parse(match kind {
        Kind::Main => "::reactor::__macros::main",
        Kind::Test => "::reactor::__macros::test",
    }));
    let mut call = parse(match (&builder, kind) {
        (None, Kind::Main) => "::reactor::Reactor::builder()",
        (None, Kind::Test) => "::reactor::__macros::test_builder()",
        (Some(Setting::Shards(_)), Kind::Main) => "::reactor::Reactor::builder().shards",
        (Some(Setting::Shards(_)), Kind::Test) => "::reactor::__macros::test_builder().shards",
        (Some(Setting::StartPaused(_)), _) => "::reactor::__macros::test_builder().start_paused",
        (Some(Setting::Builder(_)), _) => "",
    });
    if let Some(Setting::Shards(value) | Setting::StartPaused(value) | Setting::Builder(value)) =
        builder
    {
        call.extend([group(Delimiter::Parenthesis, value)]);
    }
    call.extend(parse(","));
    call.extend([TokenTree::Ident(name.clone())]);
    body.extend([group(Delimiter::Parenthesis, call)]);

    let mut wrapper = match kind {
        Kind::Main => TokenStream::new(),
        Kind::Test => parse("#[::core::prelude::v1::test]"),
    };
    wrapper.extend(outer);
    wrapper.extend(parse("fn"));
    wrapper.extend([TokenTree::Ident(name)]);
    wrapper.extend(parse(match kind {
        Kind::Main => "() -> ::std::process::ExitCode",
        Kind::Test => "()",
    }));
    wrapper.extend([group(Delimiter::Brace, body)]);
    Ok(wrapper)
}

fn parse(text: &str) -> TokenStream {
    text.parse().expect("the texts here are valid tokens")
}

fn group(delimiter: Delimiter, tokens: TokenStream) -> TokenTree {
    TokenTree::Group(Group::new(delimiter, tokens))
}

/// An argument of an attribute, with its value.
enum Setting {
    Shards(TokenStream),
    StartPaused(TokenStream),
    Builder(TokenStream),
}

/// Reads `shards = EXPR`, `start_paused = EXPR` or `builder = EXPR`.
fn read_arguments(arguments: TokenStream) -> Result<Option<Setting>, Error> {
    const USAGE: &str = "expected `shards = N`, `start_paused = BOOL` or `builder = EXPR`";
    let mut tokens = arguments.into_iter();
    let Some(key) = tokens.next() else {
        return Ok(None);
    };
    let at = key.span();
    match tokens.next() {
        Some(TokenTree::Punct(equals)) if equals.as_char() == '=' => {}
        _ => return Err(Error::new(USAGE, at)),
    }
    let value: TokenStream = tokens.collect();
    if value.is_empty() {
        return Err(Error::new(USAGE, at));
    }
    match key.to_string().as_str() {
        "shards" => Ok(Some(Setting::Shards(value))),
        "start_paused" => Ok(Some(Setting::StartPaused(value))),
        "builder" => Ok(Some(Setting::Builder(value))),
        _ => Err(Error::new(USAGE, at)),
    }
}

/// The parts of a function: the attributes and visibility, the rest, and the name.
struct Head {
    outer: TokenStream,
    function: TokenStream,
    name: Ident,
}

fn read_function(item: TokenStream) -> Result<Head, Error> {
    const NOT_ASYNC: &str = "the attribute is for an `async fn` without arguments";
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let is_word = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(ident) if ident.to_string() == word);
    let start = tokens
        .iter()
        .position(|token| is_word(token, "async") || is_word(token, "fn"))
        .ok_or_else(|| Error::new(NOT_ASYNC, Span::call_site()))?;
    let at = tokens[start].span();
    match &tokens[start..] {
        [
            a,
            f,
            TokenTree::Ident(name),
            TokenTree::Group(arguments),
            ..,
        ] if is_word(a, "async")
            && is_word(f, "fn")
            && arguments.delimiter() == Delimiter::Parenthesis
            && arguments.stream().is_empty() =>
        {
            let name = name.clone();
            Ok(Head {
                outer: tokens[..start].iter().cloned().collect(),
                function: tokens[start..].iter().cloned().collect(),
                name,
            })
        }
        _ => Err(Error::new(NOT_ASYNC, at)),
    }
}
