//! ONVIF: what cameras of many makers have in common besides RTSP.

pub mod discovery;
