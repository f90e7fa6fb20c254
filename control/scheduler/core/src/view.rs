//! A pod as the policies of a profile see it, and what a cycle wants to know of it beside them.

use crate::cells::{Signature, TooLarge};
use crate::columns::ColumnSet;
use crate::constraints::{Unserved, unserved};
use crate::pod::PodInfo;
use crate::policies::Profile;
use crate::strings::Strings;

/// A pod on its way through one cycle.
#[derive(Clone, Debug)]
pub struct PodView {
    /// A signature for each unit of the profile.
    signatures: Vec<(u32, Signature)>,
    /// It brings more than policies take.
    pub too_large: Option<TooLarge>,
    /// Its demands that no policy acts on.
    pub unserved: Vec<Unserved>,
    /// `spec.preemptionPolicy` is Never.
    pub never_preempts: bool,
    /// `spec.priority`.
    pub priority: i32,
}

impl PodView {
    pub(crate) fn new(pod: &PodInfo, profile: &Profile, strings: &mut Strings) -> Self {
        let mut made = Self {
            signatures: Vec::with_capacity(profile.units().len()),
            too_large: None,
            unserved: unserved(&pod.pod),
            never_preempts: pod.never_preempts(),
            priority: pod.priority(),
        };
        let mut by_columns: Vec<(ColumnSet, Signature)> = Vec::new();
        for (unit, columns) in profile.units() {
            let columns = columns.of_pods();
            let known = by_columns.iter().find(|(own, _)| *own == columns).map(|(_, signature)| signature.clone());
            let signature = match known {
                Some(signature) => signature,
                None => match Signature::new(pod, columns, strings) {
                    Ok(signature) => signature,
                    Err(error) => {
                        made.too_large = Some(error);
                        return made;
                    }
                },
            };
            by_columns.push((columns, signature.clone()));
            made.signatures.push((*unit, signature));
        }
        made
    }

    /// The pod as a unit of the profile sees it.
    pub fn signature(&self, unit: u32) -> Option<&Signature> {
        self.signatures.iter().find(|(own, _)| *own == unit).map(|(_, signature)| signature)
    }
}
