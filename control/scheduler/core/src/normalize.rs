//! Raw scores to 0..=100, as a policy declares.

/// Best score of a node.
pub const SCORE_MAX: i64 = 100;

/// The mapping of raw scores to 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalize {
    /// They are in 0..=100 already; what is outside is cut.
    #[default]
    None,
    /// In proportion to the largest (kube-scheduler's DefaultNormalizeScore).
    Max,
    /// As `Max`, reversed: the largest becomes 0.
    MaxReversed,
    /// Stretched so that the smallest becomes 0 and the largest 100; all 100 where they are equal.
    MinMax,
}

impl Normalize {
    /// As `describe` names it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "max" => Some(Self::Max),
            "max-reversed" => Some(Self::MaxReversed),
            "min-max" => Some(Self::MinMax),
            _ => None,
        }
    }
}

/// Rewrites raw scores in place. Negative raw scores count as 0 for `Max` and `MaxReversed`, which are defined for
/// positive ones only.
pub fn normalize(how: Normalize, scores: &mut [i64]) {
    match how {
        Normalize::None => scores.iter_mut().for_each(|score| *score = (*score).clamp(0, SCORE_MAX)),
        Normalize::Max | Normalize::MaxReversed => {
            let reversed = how == Normalize::MaxReversed;
            let largest = scores.iter().copied().max().unwrap_or(0);
            if largest <= 0 {
                scores.fill(if reversed { SCORE_MAX } else { 0 });
                return;
            }
            for score in scores {
                let part = part((*score).max(0), largest);
                *score = if reversed { SCORE_MAX - part } else { part };
            }
        }
        Normalize::MinMax => {
            let (Some(&low), Some(&high)) = (scores.iter().min(), scores.iter().max()) else { return };
            if low == high {
                scores.fill(SCORE_MAX);
                return;
            }
            match high.checked_sub(low) {
                Some(range) => scores.iter_mut().for_each(|score| *score = part(*score - low, range)),
                None => {
                    let range = i128::from(high) - i128::from(low);
                    for score in scores {
                        *score = ((i128::from(*score) - i128::from(low)) * i128::from(SCORE_MAX) / range) as i64;
                    }
                }
            }
        }
    }
}

/// `score` of `whole` in parts of [`SCORE_MAX`], rounded down; `0 <= score <= whole`, and `whole` is more than 0. Wide
/// divisions are slow: only what would overflow takes one.
fn part(score: i64, whole: i64) -> i64 {
    if whole <= i64::MAX / SCORE_MAX {
        score * SCORE_MAX / whole
    } else {
        (i128::from(score) * i128::from(SCORE_MAX) / i128::from(whole)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_what_is_declared() {
        for (how, raw, expected) in [
            (Normalize::None, vec![-5, 50, 200], vec![0, 50, 100]),
            (Normalize::Max, vec![0, 1, 3], vec![0, 33, 100]),
            (Normalize::Max, vec![0, 0], vec![0, 0]),
            (Normalize::MaxReversed, vec![0, 1, 3], vec![100, 67, 0]),
            (Normalize::MaxReversed, vec![0, 0], vec![100, 100]),
            (Normalize::MinMax, vec![-3, -1, 0], vec![0, 66, 100]),
            (Normalize::MinMax, vec![7, 7], vec![100, 100]),
            (Normalize::MinMax, vec![i64::MIN, i64::MAX], vec![0, 100]),
            (Normalize::MinMax, vec![0, i64::MAX / 2, i64::MAX], vec![0, 49, 100]),
            (Normalize::Max, vec![i64::MAX, 1], vec![100, 0]),
            (Normalize::Max, vec![i64::MAX / 100, 1], vec![100, 0]),
            (Normalize::Max, vec![i64::MAX / 100 + 1, i64::MAX / 200], vec![100, 49]),
        ] {
            let mut scores = raw.clone();
            normalize(how, &mut scores);
            assert_eq!(scores, expected, "{how:?} {raw:?}");
        }
    }
}
