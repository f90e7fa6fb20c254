//! Admission as a request asks for it: while a plugin waits for something outside (a webhook, the account of a namespace
//! that has just been made), the request holds no seat.

use crate::ask::Ask;
use async_trait::async_trait;
use sampan_api::admission::{Admission, Attributes, Charges, Mutated};
use sampan_api::{Object, Status};

impl Ask {
    /// The attributes, with a place for what the request's audit is to have.
    fn audited<'a>(&'a self, attributes: &Attributes<'a>) -> Attributes<'a> {
        Attributes { annotations: Some(&self.exchange.annotations), ..*attributes }
    }
}

/// Errors beside those of the server's admission: 429, when no seat came free after a wait.
#[async_trait]
impl Admission for Ask {
    async fn mutate(&self, attributes: &Attributes<'_>, object: Option<&mut Object>) -> Result<Mutated, Status> {
        let attributes = self.audited(attributes);
        self.exchange.aside(self.core.admission.mutate(&attributes, object)).await?
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>) -> Result<(), Status> {
        let attributes = self.audited(attributes);
        self.exchange.aside(self.core.admission.validate(&attributes, object)).await?
    }

    /// With the seat: a turn at a quota that waited for one would make everybody else who charges it wait too.
    async fn charge(&self, attributes: &Attributes<'_>, object: &Object) -> Result<Charges, Status> {
        self.core.admission.charge(attributes, object).await
    }
}
