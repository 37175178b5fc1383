//! `docs/api.md` against the protocol: every RPC has its section, and that names every field of its
//! request and its response.
#![allow(clippy::expect_used, clippy::panic)]

const PROTO: &str = include_str!("../proto/syva/core/v1/core.proto");
const DOCS: &str = include_str!("../../docs/api.md");

/// Name, request and response of every RPC; whether it streams.
fn rpcs() -> Vec<(&'static str, &'static str, &'static str, bool)> {
    let lines = PROTO
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc "));
    let parsed = lines.map(|line| {
        let words: Vec<&str> = line
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        match words[..] {
            [name, request, "returns", response] => (name, request, response, false),
            [name, request, "returns", "stream", response] => (name, request, response, true),
            _ => panic!("{line}"),
        }
    });
    parsed.collect()
}

fn fields(message: &str) -> Vec<&'static str> {
    let start = format!("message {message} {{");
    let body = PROTO.split(&start).nth(1).expect(message);
    let body = body.split('}').next().expect("an end");
    let lines = body.lines().map(str::trim);
    let fields = lines.filter(|line| line.ends_with(';') && !line.starts_with("//"));
    fields
        .map(|line| {
            let before = line.split(" = ").next().expect("a number");
            before.rsplit(' ').next().expect("a name")
        })
        .collect()
}

fn section(rpc: &str) -> &'static str {
    let title = format!("\n### {rpc}\n");
    let parts: Vec<&str> = DOCS.split(&title).collect();
    assert_eq!(parts.len(), 2, "docs/api.md has one section {rpc}");
    let end = parts[1].find("\n##").unwrap_or(parts[1].len());
    &parts[1][..end]
}

#[test]
fn every_rpc_is_documented_with_all_that_it_takes_and_gives() {
    let rpcs = rpcs();
    assert!(rpcs.len() > 15, "{rpcs:?}");
    for (rpc, request, response, streams) in &rpcs {
        let text = section(rpc);
        // Of a stream's items the section says what matters; the protocol's file has the rest.
        let gives = if *streams {
            Vec::new()
        } else {
            fields(response)
        };
        for field in fields(request).into_iter().chain(gives) {
            assert!(text.contains(&format!("`{field}`")), "{rpc}: `{field}`");
        }
    }
    let sections = DOCS.matches("\n### ").count();
    assert_eq!(sections, rpcs.len(), "a section of what is not served");
}

#[test]
fn every_code_a_section_names_is_explained() {
    let table = DOCS.split("## Generations").next().expect("before");
    let codes = DOCS.split('`').skip(1).step_by(2);
    let is_code =
        |word: &&str| word.len() > 5 && word.bytes().all(|b| b == b'_' || b.is_ascii_uppercase());
    let codes: Vec<&str> = codes.filter(is_code).collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in codes {
        assert!(table.contains(&format!("| `{code}` |")), "{code}");
    }
}
