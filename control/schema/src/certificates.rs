//! Certificates in PEM that fields hold: the blocks of a chain, and the check of bundles of authorities by which others are
//! known.

pub use pem::Pem;

const BEGIN: &str = "-----BEGIN ";

/// The blocks that can be read, in their order, and what comes after the last of them (Go's encoding/pem: Decode). What is
/// no block, or a broken one, is passed over. Each byte is read a fixed number of times.
pub fn blocks(text: &str) -> (Vec<Pem>, &str) {
    let begins_line = |at: &usize| *at == 0 || text.as_bytes()[at - 1] == b'\n';
    let starts: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).filter(begins_line).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let (mut found, mut rest) = (Vec::new(), text);
    for (start, end) in starts.iter().copied().zip(ends) {
        let Ok(block) = pem::parse(&text[start..end]) else { continue };
        let behind = text[start..].split_once("-----END ").map_or("", |(_, behind)| behind);
        rest = behind.split_once('\n').map_or("", |(_, rest)| rest);
        found.push(block);
    }
    (found, rest)
}

/// Checks a bundle of certificates of authorities, of which one that can be read is enough. Nothing at all is no fault.
///
/// # Errors
/// The fault of the bundle, as Go's client-go says it.
pub fn check_authorities(bundle: &[u8]) -> Result<(), String> {
    if bundle.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(bundle);
    let (blocks, rest) = blocks(&text);
    let mut malformed = false;
    for block in blocks.iter().filter(|block| block.tag() == "CERTIFICATE" && block.headers().iter().next().is_none()) {
        match x509_parser::parse_x509_certificate(block.contents()) {
            Ok(([], _)) => return Ok(()),
            _ => malformed = true,
        }
    }
    let why = match (malformed, rest.is_empty()) {
        (true, _) => "failed to parse certificate: x509: malformed certificate",
        (false, true) => "no valid certificate authority data seen",
        (false, false) => "unable to parse bytes as PEM block",
    };
    Err(format!("unable to load root certificates: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(begin: &str, body: &str, end: &str) -> String {
        format!("-----BEGIN {begin}-----\n{body}\n-----END {end}-----\n")
    }

    #[test]
    fn what_is_no_block_is_passed_over() {
        let check = |text: &str, labels: &[&str], rest: &str| {
            let (found, left) = blocks(text);
            assert_eq!(found.iter().map(Pem::tag).collect::<Vec<_>>(), labels, "{text}");
            assert_eq!(left, rest, "{text}");
        };
        let (a, b, headed) = (block("A", "YWJj", "A"), block("B C", "YWJj", "B C"), block("H", "A: b\n\nYWJj", "H"));
        check("", &[], "");
        check("x\n", &[], "x\n");
        check(&a, &["A"], "");
        check(a.trim_end(), &["A"], "");
        check(&a.replace('\n', "\r\n"), &["A"], "");
        check(&format!("before\n{a}between\n{b}{headed}\nbehind"), &["A", "B C", "H"], "\nbehind");
        check(&format!("{a}{}", block("X", "?", "X")), &["A"], &block("X", "?", "X"));
        check(&format!("{}{a}", block("X", "YWJj", "Y")), &["A"], "");
        check(&format!("-----BEGIN X-----\n{a}"), &["A"], "");
        check(&format!("x{a}"), &[], &format!("x{a}"));
    }

    #[test]
    fn the_fault_of_a_bundle_is_told_as_go_tells_it() {
        let (bad, other) = (block("CERTIFICATE", "YWJj", "CERTIFICATE"), block("X", "YWJj", "X"));
        let behind = format!("{other}x");
        let headed = block("CERTIFICATE", "A: b\n\nYWJj", "CERTIFICATE");
        for (bundle, expected) in [
            ("", ""),
            ("x", "unable to parse bytes as PEM block"),
            (bad.as_str(), "failed to parse certificate: x509: malformed certificate"),
            (other.as_str(), "no valid certificate authority data seen"),
            (headed.as_str(), "no valid certificate authority data seen"),
            (behind.as_str(), "unable to parse bytes as PEM block"),
        ] {
            let told = check_authorities(bundle.as_bytes()).err().unwrap_or_default();
            assert_eq!(
                told.strip_prefix("unable to load root certificates: ").unwrap_or_default(),
                expected,
                "{bundle}"
            );
        }
    }
}
