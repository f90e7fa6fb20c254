//! The words every room shares: meta, GVK, quantity, selectors, field paths, Status.
