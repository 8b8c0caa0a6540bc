//! AWS: Auto Scaling groups (`asg:`) and the weights of load balancers (`elb:`).
//!
//! Must never send a write twice: the SDK's retries are for reads, and what broke on the way is said to be unknown. AWS
//! knows no condition on its writes, so *before* is read again right before each of them. Called by the run executor.

mod asg;
mod calls;
mod elb;
mod outcome;
mod wait;

pub use asg::AsgActuator;
pub use elb::ElbActuator;
