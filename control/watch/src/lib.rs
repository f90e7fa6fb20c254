//! Records, the current state, the shared ring and its cursors.
