//! The node agent: plans, then acts; one worker a pod.
