//! One core of the gateway: every file is a step of the path or a primitive of the core.
