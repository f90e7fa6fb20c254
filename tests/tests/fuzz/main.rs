//! Everything that reads what strangers send, on inputs made by chance: bodies in each format, selectors and other words,
//! patches and applies, credentials, paths and queries, definitions of custom resources, expressions.
//!
//! An input is a recorded one that is changed by what knows its form (`input::bend`: parts taken away, doubled, replaced, put
//! deep) and by what knows nothing (`input::garble`). Of each it is promised that nothing panics and no stack overflows, that
//! no whole request gets a 500, that the bytes which the allocator is asked for follow the input's length, and laws of the
//! target's own: what is written and read again is the same, what is taken can be used, what was not given out is nobody's.
//!
//! The fast tier reads some hundred inputs a target, always the same. SAMPAN_TIER=nightly reads sixty times as many from a
//! fresh seed, which is printed; SAMPAN_SEED=N reads those of another. SAMPAN_CASE='json 17' reads the inputs whose names have
//! that part, and prints each before it is read: an overflown stack ends the process, and says nothing. Keys are made anew by
//! each run, so that inputs with tokens and certificates differ in their bytes.
//!
//! What is found is mended where it is wrong, and becomes a case of that crate's tests. There is no coverage-guided fuzzer: it
//! takes another toolchain and a second build of everything, and starts without the laws, the grammar and the recorded inputs
//! that find most here.

mod bodies;
mod corpus;
mod cost;
mod definitions;
mod expressions;
mod identity;
mod input;
mod patches;
mod requests;
mod target;
mod words;
mod world;

#[test]
fn json() {
    bodies::JSON.check();
}

#[test]
fn yaml() {
    bodies::YAML.check();
}

#[test]
fn protobuf() {
    bodies::PROTOBUF.check();
}

#[test]
fn noise() {
    bodies::NOISE.check();
}

#[test]
fn label_selectors() {
    words::LABEL_SELECTOR.check();
}

#[test]
fn field_selectors() {
    words::FIELD_SELECTOR.check();
}

#[test]
fn structured_selectors() {
    words::STRUCTURED_SELECTOR.check();
}

#[test]
fn quantities() {
    words::QUANTITY.check();
}

#[test]
fn names() {
    words::NAMES.check();
}

#[test]
fn times() {
    words::TIMES.check();
}

#[test]
fn json_paths() {
    words::JSON_PATH.check();
}

#[test]
fn patterns() {
    words::PATTERN.check();
}

#[test]
fn token_files() {
    words::TOKEN_FILE.check();
}

#[test]
fn json_patches() {
    patches::JSON.check();
}

#[test]
fn merge_patches() {
    patches::MERGE.check();
}

#[test]
fn strategic_merge_patches() {
    patches::STRATEGIC.check();
}

#[test]
fn applies() {
    patches::APPLY.check();
}

#[test]
fn expressions() {
    expressions::CEL.check();
}

#[test]
fn definitions() {
    definitions::definitions();
}

#[test]
fn bearer_tokens() {
    identity::bearer_tokens();
}

#[test]
fn client_certificates() {
    identity::client_certificates();
}

#[test]
fn pem() {
    identity::pem();
}

#[test]
fn router() {
    requests::router();
}

#[test]
fn bodies_of_requests() {
    requests::bodies();
}
