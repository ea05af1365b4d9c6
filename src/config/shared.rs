//! Two plans have in common what is the same in both: whoever follows the later one need not look at it.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Container, Plan};

impl Plan {
    /// Takes from an earlier plan what is the same there.
    pub fn share(&mut self, earlier: &Plan) {
        if self.groups == earlier.groups {
            self.groups = Arc::clone(&earlier.groups);
        }
        share(&mut self.containers, &earlier.containers);
    }
}

/// Puts earlier containers in place of those that are the same.
pub(crate) fn share(containers: &mut [Arc<Container>], earlier: &[Arc<Container>]) {
    let by_id: HashMap<_, _> = earlier.iter().map(|container| (container.id.as_str(), container)).collect();
    for container in containers {
        if let Some(same) = by_id.get(container.id.as_str()).filter(|earlier| **earlier == container) {
            *container = Arc::clone(same);
        }
    }
}
