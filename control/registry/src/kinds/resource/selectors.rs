//! The expressions by which devices are selected: each must compile and cost little.

use super::super::validation::{At, FieldErrors};
use crate::strategy::Context;
use sampan_cel::devices::{Problem, Sharing, check};

/// Selectors in a list; those of a longer one are not looked at.
const SELECTORS_MAX: usize = 32;
/// Bytes of an expression; a longer one is not compiled.
const EXPRESSION_BYTES_MAX: usize = 10 * 1024;

/// Checks a list of selectors.
pub(super) fn list(ctx: &Context<'_>, selectors: At<'_>, errors: &mut FieldErrors) {
    if selectors.len() > SELECTORS_MAX {
        return selectors.too_many(errors, SELECTORS_MAX);
    }
    let sharing = match ctx.gates.enabled("DRAConsumableCapacity") {
        true => Sharing::Declared,
        false => Sharing::None,
    };
    for selector in selectors.items() {
        let cel = selector.get("cel");
        if !cel.is_set() {
            cel.required(errors, "");
            continue;
        }
        let expression = cel.get("expression");
        if expression.len() > EXPRESSION_BYTES_MAX {
            expression.too_long(errors, EXPRESSION_BYTES_MAX);
            continue;
        }
        match check(expression.text(), sharing) {
            Ok(()) => {}
            Err(Problem::Invalid(why)) => expression.invalid_as(errors, expression.text(), why),
            Err(Problem::TooComplex) => expression.forbidden(errors, "too complex, exceeds cost limit"),
        }
    }
}
