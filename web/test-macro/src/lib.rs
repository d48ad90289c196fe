//! `#[test]` for modules that run in a browser, where the test harness of the standard library does not work.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Exports a test function as `test PATH::NAME`.
///
/// With `#[should_panic(expected = "EXPECTED")]` the name is `test PATH::NAME panics EXPECTED`. `#[ignore]` is an
/// error; other attributes stay on the function.
#[proc_macro_attribute]
pub fn test(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut tokens = item.into_iter().peekable();
    let (mut kept, mut panics) = (TokenStream::new(), String::new());
    while let Some(hash) = tokens.next_if(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == '#')) {
        let attribute = tokens.next().expect("an attribute");
        let TokenTree::Group(group) = &attribute else { panic!("expected an attribute, got {attribute}") };
        let mut parts = group.stream().into_iter();
        match parts.next().expect("a name").to_string().as_str() {
            "should_panic" => panics = format!(r#", " panics ", {}"#, expected(parts.next())),
            "ignore" => panic!("#[ignore] is not supported here"),
            _ => kept.extend([hash, attribute]),
        }
    }
    let function: TokenStream = tokens.collect();
    let mut words = function.clone().into_iter().map(|t| t.to_string()).skip_while(|word| word != "fn");
    let name = words.nth(1).expect("a test is a function");
    kept.extend(function);
    let shim = format!(
        r#"const _: () = {{
            #[unsafe(export_name = concat!("test ", module_path!(), "::{name}"{panics}))]
            extern "C" fn shim() {{
                browser_tests::run({name})
            }}
        }};"#
    );
    kept.extend(shim.parse::<TokenStream>().expect("Rust"));
    kept
}

/// Returns the literal of `(expected = "…")`.
fn expected(list: Option<TokenTree>) -> String {
    match list {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            group.stream().into_iter().last().expect("a message").to_string()
        }
        _ => panic!("#[should_panic] needs an expected message"),
    }
}
