//! Expressions in CEL: read, checked, estimated and run under their budget.

use crate::input::{Input, sometimes_garbled};
use crate::target::{Bound, Target, Verdict};
use sampan_cel::devices::{self, Sharing};
use sampan_cel::limits::PER_CALL_COST_MAX;
use sampan_cel::{Decl, Environment, Inputs, Program, Root, Type, Value};
use sampan_testing::Dice;
use sampan_tests::expressions::{self, ABOUT};
use std::sync::{Arc, LazyLock};

static DECLARED: LazyLock<(Arc<Decl>, Environment)> = LazyLock::new(|| {
    let decl = Decl::of_schema(&ABOUT.0, "selfType", Root::Resource).expect("a schema that can be used");
    let environment = Environment::from([("self".into(), decl.ty()), ("dynamic".into(), Type::Dyn)]);
    (decl, environment)
});

fn expression(dice: &mut Dice) -> String {
    let mut text = expressions::any(dice);
    if dice.one_in(12) {
        let levels = dice.roll(300) as usize;
        text = format!("{}{text}{}", "[".repeat(levels), "]".repeat(levels));
    }
    text
}

pub const CEL: Target<'_> = Target {
    name: "cel",
    cases: 1_500,
    input: &|dice| {
        let text = expression(dice);
        Input::one(sometimes_garbled(dice, 3, text))
    },
    read: &|input| {
        let (text, (decl, environment)) = (input.text(0), &*DECLARED);
        drop(devices::check(&text, Sharing::Declared));
        let program = match Program::compile(&text, environment) {
            Ok(program) => program,
            Err(issues) => {
                assert!(!issues.to_string().is_empty(), "no word of what is wrong");
                return Verdict::Refused;
            }
        };
        let most = program.estimate(Some(decl));
        assert!(most.min <= most.max, "{most:?}");
        let own = Value::of(&ABOUT.1, decl).expect("the data is as the schema says");
        let inputs = Inputs::new([("self", own), ("dynamic", Value::of_json(&ABOUT.1))]);
        let (first, cost) = program.run(&inputs, PER_CALL_COST_MAX);
        let (again, same) = program.run(&inputs, PER_CALL_COST_MAX);
        let shown = |value: &Result<Value<'_>, sampan_cel::EvalError>| match value {
            Ok(value) => format!("{:?}", value.to_json()),
            Err(error) => error.to_string(),
        };
        assert_eq!((shown(&first), cost), (shown(&again), same), "run again it is another");
        Verdict::Taken
    },
    bound: BUDGETED,
};

/// What an evaluation looks at and makes has a limit of its own: `WORK_BYTES_MAX`.
const BUDGETED: Bound = Bound { held: 32 << 20, held_a_byte: 4_000, turnover: 20 };
