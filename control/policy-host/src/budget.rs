//! The bounds of one policy, as its object asks for them within the host's limits.

use crate::limits;
use sampan_api::Quantity;
use sampan_api::scheduling::Budget;
use sampan_wasm_runtime::policy::PolicyBudget;
use std::time::Duration;

/// The bounds of one instance and of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Of one call.
    pub call: PolicyBudget,
    /// Linear memories and tables together, bytes.
    pub memory: u64,
}

/// A budget that is not to be had; the text names the member of the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.budget: {0}")]
pub struct BudgetError(String);

/// The bounds that the object asks for, and the host's own figures where it says nothing.
///
/// # Errors
/// A figure that is zero, or more than the host gives.
pub fn allowance(asked: Option<&Budget>) -> Result<Allowance, BudgetError> {
    let asked = asked.cloned().unwrap_or_default();
    let millis = |asked: Option<u64>, name: &str, max: Duration, default: Duration| match asked {
        None => Ok(default),
        Some(0) => Err(BudgetError(format!("{name} must be more than 0"))),
        Some(millis) if Duration::from_millis(millis) > max => {
            Err(BudgetError(format!("{name} must be at most {}", max.as_millis())))
        }
        Some(millis) => Ok(Duration::from_millis(millis)),
    };
    let cpu = millis(asked.cpu_milliseconds, "cpuMilliseconds", limits::CPU_MAX, limits::CPU)?;
    let default = (cpu * limits::WALL_FACTOR).min(limits::WALL_MAX);
    let wall = millis(asked.wall_milliseconds, "wallMilliseconds", limits::WALL_MAX, default)?;
    let memory = match &asked.memory {
        None => limits::MEMORY,
        Some(text) => {
            let quantity: Quantity = text.parse().map_err(|error| BudgetError(format!("memory {text:?}: {error}")))?;
            u64::try_from(quantity.value())
                .ok()
                .filter(|bytes| (1..=limits::MEMORY_MAX).contains(bytes))
                .ok_or_else(|| BudgetError(format!("memory {text:?} must be at most {}", limits::MEMORY_MAX)))?
        }
    };
    Ok(Allowance { call: PolicyBudget { cpu, wall }, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_the_hosts_and_too_much_is_refused() {
        assert_eq!(allowance(None).expect("the defaults").memory, limits::MEMORY);
        let check =
            |cpu: Option<u64>, wall: Option<u64>, memory: Option<&str>, expected: Result<(u64, u64, u64), &str>| {
                let asked =
                    Budget { cpu_milliseconds: cpu, wall_milliseconds: wall, memory: memory.map(str::to_owned) };
                let got = allowance(Some(&asked));
                let got = got.map(|it| (it.call.cpu.as_millis() as u64, it.call.wall.as_millis() as u64, it.memory));
                match expected {
                    Ok(expected) => assert_eq!(got, Ok(expected)),
                    Err(text) => assert!(got.as_ref().is_err_and(|error| error.to_string().contains(text)), "{got:?}"),
                }
            };
        check(Some(10), None, Some("1Mi"), Ok((10, 200, 1 << 20)));
        check(None, Some(7), None, Ok((50, 7, limits::MEMORY)));
        check(Some(0), None, None, Err("cpuMilliseconds must be more than 0"));
        check(Some(1001), None, None, Err("cpuMilliseconds must be at most 1000"));
        check(None, Some(20_001), None, Err("wallMilliseconds must be at most 20000"));
        check(None, None, Some("513Mi"), Err("must be at most 536870912"));
        check(None, None, Some("-1"), Err("must be at most"));
        check(None, None, Some("much"), Err("memory \"much\""));
    }
}
