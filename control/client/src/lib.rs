//! One client for in-process and remote use; informers, work queue, event recorder.
