#[cfg(feature = "aws")]
mod aws;
mod bench;
mod chaos;
mod chaos_chat;
mod chaos_local;
mod cli;
#[cfg(feature = "aws")]
mod cloudwatch;
mod conversation;
mod crash;
mod demo;
mod feedback;
mod flood;
mod full;
mod haproxy;
mod kill;
mod kit;
mod kube_fake;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod life;
mod local;
mod local_bench;
mod probe;
#[cfg(feature = "promql")]
mod promql;
mod redis;
mod registry;
mod replay;
mod sample;
mod say;
mod targets;
