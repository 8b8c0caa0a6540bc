//! AWS on this machine: moto's server, and a gate in front of it that listens, denies, loses answers and falls silent.
//!
//! moto is lax: it does what AWS would refuse. What is refused here is refused by Suture itself, or by the gate.

pub mod cbor;

use std::collections::BTreeMap;
use std::net::TcpListener as StdListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use suture::platform::AwsSettings;
use suture::platform::aws::{Accounts, Pace};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The one region of the tests.
pub const REGION: &str = "eu-west-1";
/// moto starts slowly on a busy machine.
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// moto's server. The last one who holds it ends it.
pub struct Moto {
    child: Child,
    port: u16,
    /// An image, a subnet and its network, which moto has from the start.
    ground: tokio::sync::OnceCell<(String, String, String)>,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// The server that the tests of this process share: names have to differ.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Moto>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moto) = shared.upgrade() {
            return moto;
        }
        let moto = Arc::new(Self::start());
        *shared = Arc::downgrade(&moto);
        moto
    }

    fn start() -> Self {
        let program = std::env::var("SUTURE_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|e| {
            panic!(
                "`{program}` cannot be started ({e}). Install it: python3 -m venv moto && moto/bin/pip install \
                 'moto[server]', then set SUTURE_MOTO to moto/bin/moto_server"
            )
        });
        let mut moto = Self { child, port, ground: tokio::sync::OnceCell::new() };
        let deadline = Instant::now() + STARTED_WITHIN;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = moto.child.try_wait().unwrap() {
                panic!("`{program}` ended at once ({status}): is `moto[server]` installed, with its extra?");
            }
            assert!(Instant::now() < deadline, "`{program}` does not listen within {STARTED_WITHIN:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// One call in the query protocol; the answer's XML.
    pub async fn ask(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        ask(self.port, service, action, parameters).await
    }

    /// A group `name` of `desired` instances (1 to 5), attached to a target group of the same name. The target group's ARN.
    pub async fn group(&self, name: &str, desired: u32) -> String {
        let (image, subnet, vpc) = self.ground().await;
        let launch = [("LaunchConfigurationName", name), ("ImageId", image.as_str()), ("InstanceType", "t3.micro")];
        self.ask("autoscaling", "CreateLaunchConfiguration", &launch).await;
        let arn = self.target_group(name, vpc).await;
        self.ask(
            "autoscaling",
            "CreateAutoScalingGroup",
            &[
                ("AutoScalingGroupName", name),
                ("LaunchConfigurationName", name),
                ("MinSize", "1"),
                ("MaxSize", "5"),
                ("DesiredCapacity", &desired.to_string()),
                ("VPCZoneIdentifier", subnet),
                ("TargetGroupARNs.member.1", &arn),
            ],
        )
        .await;
        arn
    }

    async fn ground(&self) -> &(String, String, String) {
        let look = async {
            let image = first(&self.ask("ec2", "DescribeImages", &[("MaxResults", "5")]).await, "imageId");
            let subnets = self.ask("ec2", "DescribeSubnets", &[]).await;
            (image, first(&subnets, "subnetId"), first(&subnets, "vpcId"))
        };
        self.ground.get_or_init(|| look).await
    }

    async fn target_group(&self, name: &str, vpc: &str) -> String {
        let group = [("Name", name), ("Protocol", "HTTP"), ("Port", "80"), ("VpcId", vpc)];
        first(&self.ask("elasticloadbalancing", "CreateTargetGroup", &group).await, "TargetGroupArn")
    }

    /// A load balancer that forwards to the target groups `name-blue` (9) and `name-green` (1), by default and by a rule:
    /// the ARNs of the listener and the rule.
    pub async fn balancer(&self, name: &str) -> (String, String) {
        let (_, subnet, vpc) = self.ground().await;
        let (blue, green) = (
            self.target_group(&format!("{name}-blue"), vpc).await,
            self.target_group(&format!("{name}-green"), vpc).await,
        );
        let elb = "elasticloadbalancing";
        let made = self.ask(elb, "CreateLoadBalancer", &[("Name", name), ("Subnets.member.1", subnet)]).await;
        let balancer = first(&made, "LoadBalancerArn");
        let forward = |list: &str| -> Vec<(String, String)> {
            let config = format!("{list}.member.1.ForwardConfig");
            let group = |n: u32, part: &str| format!("{config}.TargetGroups.member.{n}.{part}");
            [
                (format!("{list}.member.1.Type"), "forward"),
                (group(1, "TargetGroupArn"), &blue),
                (group(1, "Weight"), "9"),
                (group(2, "TargetGroupArn"), &green),
                (group(2, "Weight"), "1"),
                (format!("{config}.TargetGroupStickinessConfig.Enabled"), "true"),
                (format!("{config}.TargetGroupStickinessConfig.DurationSeconds"), "60"),
            ]
            .map(|(name, value)| (name, value.to_owned()))
            .into()
        };
        let actions = forward("DefaultActions");
        let mut listener = vec![("LoadBalancerArn", balancer.as_str()), ("Protocol", "HTTP"), ("Port", "80")];
        listener.extend(actions.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let listener = first(&self.ask(elb, "CreateListener", &listener).await, "ListenerArn");
        let actions = forward("Actions");
        let mut rule = vec![
            ("ListenerArn", listener.as_str()),
            ("Priority", "10"),
            ("Conditions.member.1.Field", "path-pattern"),
            ("Conditions.member.1.Values.member.1", "/shop/*"),
        ];
        rule.extend(actions.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let rule = first(&self.ask(elb, "CreateRule", &rule).await, "RuleArn");
        (listener, rule)
    }

    /// A value of a metric, at a time in seconds since the epoch.
    pub async fn metric(&self, namespace: &str, metric: &str, dimension: (&str, &str), at: i64, value: f64) {
        let at = suture::model::Timestamp(at * 1000).to_string();
        self.ask(
            "monitoring",
            "PutMetricData",
            &[
                ("Namespace", namespace),
                ("MetricData.member.1.MetricName", metric),
                ("MetricData.member.1.Value", &value.to_string()),
                ("MetricData.member.1.Timestamp", &at),
                ("MetricData.member.1.Dimensions.member.1.Name", dimension.0),
                ("MetricData.member.1.Dimensions.member.1.Value", dimension.1),
            ],
        )
        .await;
    }
}

/// One call to the server at this port.
async fn ask(port: u16, service: &str, action: &str, parameters: &[(&str, &str)]) -> String {
    let version = match service {
        "autoscaling" => "2011-01-01",
        "elasticloadbalancing" => "2015-12-01",
        "ec2" => "2016-11-15",
        "monitoring" => "2010-08-01",
        other => panic!("no version of {other} is known"),
    };
    let mut body = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        let value: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
        body.push_str(&format!("&{name}={value}"));
    }
    let request = format!(
        "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=k/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = send(port, request.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{action}: {answer}");
    answer
}

/// The text of the first element of this name.
#[track_caller]
pub fn first(xml: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let rest = xml.split_once(&open).unwrap_or_else(|| panic!("no {element} in {xml}")).1;
    rest.split_once(&close).unwrap().0.to_owned()
}

async fn send(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A call as it came to the gate.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `SetDesiredCapacity`.
    pub action: String,
    /// As it was sent: a form, or something else for CloudWatch.
    pub body: String,
    /// How often this action had been asked for before.
    pub before: usize,
}

/// What the gate does with a call.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Lets it through.
    Pass,
    /// Lets it through, and throws the answer away for this one.
    PassThen(Box<Verdict>),
    /// Answers: a status, headers, and an error code in AWS's XML.
    Error(u16, &'static str, &'static str),
    /// Answers 200 with this.
    Xml(String),
    /// Answers GetMetricData with these values, and the token of the next page.
    Values(Vec<cbor::Values>, Option<&'static str>),
    /// Never answers.
    Silence,
    /// Hangs up.
    Hangup,
}

type Rule = dyn Fn(&Asked) -> Verdict + Send + Sync;

/// What stands in front of moto. Dropped, it is gone.
pub struct Gate {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
    _moto: Arc<Moto>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// A gate with this rule. What moto has not got, instance refreshes, is answered as if there never was one, unless the
    /// rule has something else to say.
    pub async fn with(moto: Arc<Moto>, rule: impl Fn(&Asked) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (upstream, seen, rule) = (moto.port, Arc::clone(&asked), Arc::new(rule) as Arc<Rule>);
        let task = tokio::spawn(async move {
            let mut calls = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        let (seen, rule) = (Arc::clone(&seen), Arc::clone(&rule));
                        calls.spawn(async move { serve(stream, upstream, &seen, rule.as_ref()).await });
                    }
                    Some(_) = calls.join_next() => {}
                }
            }
        });
        Self { port, asked, task, _moto: moto }
    }

    /// A gate that lets everything through.
    pub async fn open(moto: Arc<Moto>) -> Self {
        Self::with(moto, |_| Verdict::Pass).await
    }

    /// How often each action was asked for.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for asked in self.asked.lock().unwrap().iter() {
            *counts.entry(asked.action.clone()).or_default() += 1;
        }
        counts
    }

    /// How often this action was asked for.
    pub fn count(&self, action: &str) -> usize {
        self.asked().get(action).copied().unwrap_or(0)
    }

    /// The bodies of this action's calls.
    pub fn bodies(&self, action: &str) -> Vec<String> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| asked.action == action)
            .map(|asked| asked.body.clone())
            .collect()
    }

    /// How to reach AWS through it.
    pub fn settings(&self) -> AwsSettings {
        aws_at(self.port)
    }
}

/// How to reach AWS at a port of this machine.
pub fn aws_at(port: u16) -> AwsSettings {
    AwsSettings {
        region: Some(REGION.to_owned()),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        ..AwsSettings::default()
    }
}

/// Accounts with keys of the tests' own, and little patience.
pub fn accounts() -> Accounts {
    accounts_within(Duration::from_secs(20))
}

/// The same, with this long for a call.
pub fn accounts_within(operation: Duration) -> Accounts {
    let pace = Pace { operation, attempt: operation, look_every: Duration::from_millis(50), ..Pace::default() };
    Accounts::with(pace, Some(("AKIDTEST".to_owned(), "secret-of-the-test".to_owned())))
}

async fn serve(mut stream: TcpStream, upstream: u16, seen: &Mutex<Vec<Asked>>, rule: &Rule) -> Option<()> {
    let request = read_request(&mut stream).await?;
    let asked = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.iter().filter(|asked| asked.action == request.action).count();
        let asked = Asked { action: request.action.clone(), body: request.body.clone(), before };
        seen.push(asked.clone());
        asked
    };
    let verdict = match rule(&asked) {
        Verdict::Pass if asked.action == "DescribeInstanceRefreshes" => Verdict::Xml(refreshes(&[])),
        verdict => verdict,
    };
    carry_out(verdict, &request, &mut stream, upstream).await
}

async fn carry_out(verdict: Verdict, request: &Request, stream: &mut TcpStream, upstream: u16) -> Option<()> {
    let answer = match verdict {
        Verdict::Pass if request.action == "GetMetricData" => {
            let form = cbor::to_form(&cbor::decode(&request.bytes));
            let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let xml = ask(upstream, "monitoring", "GetMetricData", &form).await;
            in_cbor(&cbor::answer(&cbor::from_xml(&xml), None))
        }
        Verdict::Pass => send(upstream, &request.raw).await.ok()?,
        Verdict::PassThen(then) => {
            send(upstream, &request.raw).await.ok()?;
            return Box::pin(carry_out(*then, request, stream, upstream)).await;
        }
        Verdict::Error(status, headers, code) => {
            let body = match code {
                "" => String::new(),
                code => format!(
                    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>the gate says so</Message>\
                     </Error><RequestId>r</RequestId></ErrorResponse>"
                ),
            };
            answer(status, headers, &body)
        }
        Verdict::Xml(body) => answer(200, "", &body),
        Verdict::Values(values, next) => in_cbor(&cbor::answer(&values, next)),
        Verdict::Silence => return std::future::pending().await,
        Verdict::Hangup => return None,
    };
    stream.write_all(&answer).await.ok()?;
    stream.shutdown().await.ok()
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: text/xml\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn in_cbor(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 Answer\r\ncontent-type: application/cbor\r\nsmithy-protocol: rpc-v2-cbor\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

struct Request {
    action: String,
    body: String,
    bytes: Vec<u8>,
    raw: Vec<u8>,
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_ends = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_ends]).into_owned();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length: usize = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    while bytes.len() < head_ends + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[head_ends..]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let in_form = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(str::to_owned);
    let action = in_form.unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default().to_owned());
    // One call a connection, on both sides.
    let mut raw = head.trim_end().as_bytes().to_vec();
    raw.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
    raw.extend_from_slice(&bytes[head_ends..]);
    Some(Request { action, body, bytes: bytes[head_ends..].to_vec(), raw })
}

/// The answer to DescribeInstanceRefreshes: id, status, seconds since the epoch when it began, and a reason.
pub fn refreshes(of: &[(&str, &str, i64, &str)]) -> String {
    let member = |(id, status, start, reason): &(&str, &str, i64, &str)| {
        let start = suture::model::Timestamp(start * 1000);
        format!(
            "<member><InstanceRefreshId>{id}</InstanceRefreshId><AutoScalingGroupName>g</AutoScalingGroupName>\
             <Status>{status}</Status><StartTime>{start}</StartTime><PercentageComplete>40</PercentageComplete>\
             <StatusReason>{reason}</StatusReason></member>"
        )
    };
    let members: String = of.iter().map(member).collect();
    result("DescribeInstanceRefreshes", &format!("<InstanceRefreshes>{members}</InstanceRefreshes>"))
}

/// An answer of Auto Scaling to this action.
pub fn result(action: &str, inner: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><{action}Result>{inner}\
         </{action}Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    )
}
