//! Real Apache Cassandra for tests: nodes on 127.0.0.1 … 127.0.0.4, from jars that Maven fetches once.
//!
//! [`shared`] is one node for all tests of a binary, each in a [`keyspace`] of its own; [`Cluster::start`]
//! is several, to be killed, stopped and started again. `POSTERN_TEST_CASSANDRA=host:port` names a cluster
//! that exists; nothing is started then. Jars and the state of running nodes lie in the user's cache folder,
//! under file locks, so that tests of several processes do not meet. A node never outlives the process that
//! started it: the kernel kills it when that ends, however it ends.
#![allow(dead_code, reason = "each test binary uses its own part")]

#[path = "again.rs"]
mod again;

pub(crate) use again::ask_again;

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

const VERSION: &str = "5.0.9";
/// What a node may take to answer CQL, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(180);
/// The same of one that first takes its share from the others.
const PATIENCE_TO_JOIN: Duration = Duration::from_secs(600);
/// Clusters take blocks of ten ports between these, below the ephemeral ones.
const PORTS: std::ops::Range<u16> = 21_000..29_000;
const BLOCK: u16 = 10;
const MOST_NODES: usize = 4;

/// Packages that Cassandra reaches into on Java 17: exported, and opened for reflection.
const EXPORTED: &str = "java.base/java.lang.ref java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi \
    java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.attach/sun.tools.attach \
    jdk.compiler/com.sun.tools.javac.file jdk.unsupported/sun.misc";
const OPENED: &str = "java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect \
    java.base/java.nio java.base/java.util java.base/jdk.internal.loader java.base/jdk.internal.math \
    java.base/jdk.internal.module java.base/jdk.internal.ref java.base/jdk.internal.reflect \
    java.base/jdk.internal.util.jar java.base/sun.nio.ch jdk.compiler/com.sun.tools.javac \
    jdk.management/com.sun.management.internal";

/// `host:port` of a node that all tests of this binary share.
pub(crate) fn shared() -> String {
    static NODE: OnceLock<Cluster> = OnceLock::new();
    // A node that did not come up once is not tried again by every test.
    static FAILED: Mutex<Option<String>> = Mutex::new(None);
    if let Ok(existing) = std::env::var("POSTERN_TEST_CASSANDRA") {
        return existing;
    }
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = failed.as_ref() {
        panic!("{error}");
    }
    if NODE.get().is_none() {
        match Cluster::begin(1, &[], Life::Short) {
            Ok(cluster) => drop(NODE.set(cluster)),
            Err(error) => {
                *failed = Some(error.clone());
                panic!("{error}");
            }
        }
    }
    NODE.get().expect("set above").contact(1)
}

/// A name that no other test has.
pub(crate) fn keyspace() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let (now, next) = (
        since.expect("a clock").as_millis(),
        NEXT.fetch_add(1, Ordering::Relaxed),
    );
    format!("t{now:x}_{:x}_{next}", std::process::id())
}

/// Nodes that share ports and differ by address; node `i` (from 1) is 127.0.0.`i`.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    block: Block,
    jars: PathBuf,
    life: Life,
}

/// How long nodes are to run, which decides what Java compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Tests: the first compiler's code is soon there, the second one's would come too late.
    Short,
    /// Benches, as in production: both compilers.
    Long,
}

struct Node {
    folder: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    /// Starts `nodes` empty ones and waits until all answer CQL.
    pub(crate) fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// The same with lines of `cassandra.yaml` that go before the usual ones.
    pub(crate) fn start_with(nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::begin(nodes, settings, Life::Short).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same for those who want to tell of an error themselves.
    pub(crate) fn begin(count: usize, settings: &[(&str, &str)], life: Life) -> Result<Self, String> {
        assert!((1..=MOST_NODES).contains(&count), "{count} nodes");
        for (program, package) in [("java", "a Java 17 runtime"), ("setpriv", "util-linux")] {
            if !has(program) {
                return Err(format!(
                    "tests on Cassandra need {program}: install {package}, or name a cluster in POSTERN_TEST_CASSANDRA"
                ));
            }
        }
        let jars = jars()?;
        let block = Block::claim().map_err(|error| format!("no ports for Cassandra: {error}"))?;
        let mut cluster = Self {
            nodes: Vec::new(),
            block,
            jars,
            life,
        };
        for index in 1..=count {
            let folder = cluster.block.folder.join(format!("node{index}"));
            configure(&folder, index, count, cluster.block.first, settings)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
            cluster.nodes.push(Node {
                folder,
                process: None,
            });
        }
        for index in 1..=count {
            cluster.launch(index)?;
        }
        for index in 1..=count {
            cluster.await_cql(index)?;
        }
        Ok(cluster)
    }

    /// `host:port` for CQL.
    pub(crate) fn contact(&self, index: usize) -> String {
        self.address(index).to_string()
    }

    pub(crate) fn contacts(&self) -> Vec<String> {
        (1..=self.nodes.len()).map(|index| self.contact(index)).collect()
    }

    fn address(&self, index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, octet(index)], self.block.first))
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.node(index).process.take() {
            process.kill().expect("a process of ours");
            process.wait().expect("a process of ours");
        }
    }

    /// SIGSTOP: the node keeps its connections and answers nothing.
    pub(crate) fn stop(&mut self, index: usize) {
        self.signal(index, rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn cont(&mut self, index: usize) {
        self.signal(index, rustix::process::Signal::CONT);
    }

    fn signal(&mut self, index: usize, signal: rustix::process::Signal) {
        let process = self.node(index).process.as_ref().expect("a node that runs");
        let pid = rustix::process::Pid::from_child(process);
        rustix::process::kill_process(pid, signal).expect("a process of ours");
    }

    /// Starts a node that was killed, on the data it had.
    pub(crate) fn restart(&mut self, index: usize) {
        self.kill(index);
        let up = self.launch(index).and_then(|()| self.await_cql(index));
        up.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Puts an empty node in the place of one that was killed; it has streamed what is its own when this returns.
    pub(crate) fn replace(&mut self, index: usize) -> Result<(), String> {
        self.kill(index);
        let folder = self.node(index).folder.clone();
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        let address = self.address(index).ip();
        // It looks for ten seconds, and not for a minute, whether the old one is alive after all.
        let replacing = [
            format!("-Dcassandra.replace_address_first_boot={address}"),
            "-Dcassandra.broadcast_interval_ms=10000".to_owned(),
        ];
        self.join(index, &[], &replacing)
    }

    /// Adds one more node, between the last and the first; it has streamed what is its own when this returns.
    pub(crate) fn add(&mut self) -> Result<(), String> {
        let index = self.nodes.len() + 1;
        assert!(index <= MOST_NODES, "{index} nodes");
        let folder = self.block.folder.join(format!("node{index}"));
        self.nodes.push(Node {
            folder,
            process: None,
        });
        let last = token(index - 1, index - 1);
        let middle = format!("'{}'", last / 2 + i64::MAX / 2);
        self.join(index, &[("initial_token", &middle)], &[])
    }

    /// Starts an empty node that learns of the others and takes its share from them; it is none of its own seeds.
    fn join(&mut self, index: usize, settings: &[(&str, &str)], options: &[String]) -> Result<(), String> {
        let (folder, first) = (self.node(index).folder.clone(), self.block.first);
        let others: Vec<_> = (1..=self.nodes.len()).filter(|other| *other != index).collect();
        let seeds = seeds(first, &others);
        let mut joining = vec![
            ("auto_bootstrap", "true"),
            ("seed_provider", seeds.as_str()),
            ("initial_token", ""),
        ];
        joining.retain(|(key, _)| !settings.iter().any(|(named, _)| named == key));
        joining.extend(settings);
        configure(&folder, index, self.nodes.len(), first, &joining).map_err(|error| error.to_string())?;
        self.launch_with(index, options)?;
        self.await_cql_for(index, PATIENCE_TO_JOIN)
    }

    /// Starts a node that was killed without waiting for it.
    pub(crate) fn launch(&mut self, index: usize) -> Result<(), String> {
        self.launch_with(index, &[])
    }

    fn launch_with(&mut self, index: usize, options: &[String]) -> Result<(), String> {
        let (folder, first) = (self.node(index).folder.clone(), self.block.first);
        let command = daemon(&folder, &self.jars, jmx(first, index), self.life, options)
            .map_err(|error| error.to_string())?;
        let process = spawn(command).map_err(|error| format!("java does not start: {error}"))?;
        self.node(index).process = Some(process);
        Ok(())
    }

    /// Waits until a node takes CQL connections; what it wrote last is the error if it ends instead.
    pub(crate) fn await_cql(&mut self, index: usize) -> Result<(), String> {
        self.await_cql_for(index, PATIENCE)
    }

    fn await_cql_for(&mut self, index: usize, patience: Duration) -> Result<(), String> {
        let address = self.address(index);
        let node = self.node(index);
        let process = node.process.as_mut().ok_or("the node was killed")?;
        let came = ask_again(patience, || {
            match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
                Ok(_) => Some(Ok(())),
                Err(_) => process.try_wait().ok().flatten().map(Err),
            }
        });
        let why = match came {
            Some(Ok(())) => return Ok(()),
            Some(Err(ended)) => ended.to_string(),
            None => format!("after {} s", patience.as_secs()),
        };
        let said = tail(&node.folder);
        Err(format!("Cassandra {index} did not come up ({why}):\n{said}"))
    }

    /// The process of a node, while it runs.
    pub(crate) fn pid(&mut self, index: usize) -> Option<u32> {
        let process = self.node(index).process.as_mut()?;
        matches!(process.try_wait(), Ok(None)).then(|| process.id())
    }

    /// Resident memory of a node in KiB.
    pub(crate) fn resident(&mut self, index: usize) -> u64 {
        let process = self.node(index).process.as_ref().expect("a node that runs");
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|rest| rest.split_whitespace().next());
        figure.and_then(|text| text.parse().ok()).expect("VmRSS")
    }

    /// Runs nodetool against a node.
    pub(crate) fn nodetool(&self, index: usize, arguments: &[&str]) -> Output {
        let folder = &self.nodes[index - 1].folder;
        let mut command = Command::new("java");
        command
            .args(modules())
            .args(["-Xmx64M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(property("cassandra.storagedir", folder))
            .arg(property(
                "logback.configurationFile",
                &folder.join("conf/logback.xml"),
            ))
            .arg("-cp")
            .arg(class_path(folder, &self.jars))
            .args(["org.apache.cassandra.tools.NodeTool", "-h", "127.0.0.1", "-p"])
            .arg(jmx(self.block.first, index).to_string())
            .args(arguments);
        command.output().expect("java")
    }

    fn node(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index - 1]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 1..=self.nodes.len() {
            self.kill(index);
        }
        let _ = fs::remove_dir_all(&self.block.folder);
    }
}

/// Ten ports and a folder, this process's alone while the file is locked. What a killed test left in the
/// folder goes when the block is claimed the next time.
struct Block {
    first: u16,
    folder: PathBuf,
    _lock: File,
}

impl Block {
    fn claim() -> io::Result<Self> {
        let runs = cache().join("run");
        fs::create_dir_all(&runs)?;
        for first in PORTS.step_by(usize::from(BLOCK)) {
            let lock = File::create(runs.join(format!("{first}.lock")))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let folder = runs.join(first.to_string());
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            if is_free(first) {
                return Ok(Self {
                    first,
                    folder,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::from(io::ErrorKind::AddrInUse))
    }
}

fn is_free(first: u16) -> bool {
    let hosts = 1..=octet(MOST_NODES);
    hosts.into_iter().all(|host| {
        (first..first + BLOCK)
            .all(|port| TcpListener::bind(SocketAddr::from(([127, 0, 0, host], port))).is_ok())
    })
}

fn octet(index: usize) -> u8 {
    u8::try_from(index).expect("a small number")
}

/// The block's ports: CQL, storage, storage over TLS, then JMX of each node.
fn jmx(first: u16, index: usize) -> u16 {
    first + 2 + u16::from(octet(index))
}

fn cache() -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty());
    let usual = || Path::new(&std::env::var_os("HOME").expect("HOME")).join(".cache");
    named.map_or_else(usual, PathBuf::from).join("postern/cassandra")
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The folder of the jars, fetched if need be.
fn jars() -> Result<PathBuf, String> {
    let folder = cache().join(VERSION);
    fs::create_dir_all(cache()).map_err(|error| error.to_string())?;
    let lock = File::create(cache().join("jars.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if is_complete(&folder) {
        return Ok(folder);
    }
    if !has("mvn") {
        return Err("tests on Cassandra need mvn to fetch it: install Maven, or name a cluster in POSTERN_TEST_CASSANDRA".to_owned());
    }
    fetch(&folder).map_err(|error| format!("Maven cannot fetch Cassandra {VERSION}: {error}"))?;
    Ok(folder)
}

/// Every jar that the list names is there with its size.
fn is_complete(folder: &Path) -> bool {
    let Ok(list) = fs::read_to_string(folder.join("jars.list")) else {
        return false;
    };
    let whole = |line: &str| {
        let (size, name) = line.split_once(' ')?;
        let found = fs::metadata(folder.join(name)).ok()?;
        (found.len() == size.parse::<u64>().ok()?).then_some(())
    };
    list.lines().count() > 0 && list.lines().all(|line| whole(line).is_some())
}

fn fetch(folder: &Path) -> io::Result<()> {
    let aside = folder.with_extension("new");
    for old in [folder, &aside] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    fs::create_dir_all(&aside)?;
    let project = cache().join("pom.xml");
    fs::write(
        &project,
        format!(
            "<project><modelVersion>4.0.0</modelVersion><groupId>postern</groupId><artifactId>cassandra-for-tests</artifactId>\
             <version>1</version><dependencies><dependency><groupId>org.apache.cassandra</groupId>\
             <artifactId>cassandra-all</artifactId><version>{VERSION}</version></dependency></dependencies></project>"
        ),
    )?;
    let told = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&project)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", aside.display()))
        .output()?;
    if !told.status.success() {
        return Err(io::Error::other(
            String::from_utf8_lossy(&told.stdout).into_owned(),
        ));
    }
    let mut list = String::new();
    for entry in fs::read_dir(&aside)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        list.push_str(&format!("{} {name}\n", entry.metadata()?.len()));
    }
    fs::write(aside.join("jars.list"), list)?;
    fs::rename(&aside, folder)
}

/// The places of `count` nodes, evenly on the ring.
fn token(index: usize, count: usize) -> i64 {
    let ring = u128::from(u64::MAX) + 1;
    let place = i128::try_from(ring / count as u128 * (index as u128 - 1)).expect("64 bits");
    i64::try_from(place + i128::from(i64::MIN)).expect("64 bits")
}

fn seeds(first: u16, nodes: &[usize]) -> String {
    let places: Vec<_> = nodes
        .iter()
        .map(|node| format!("127.0.0.{node}:{}", first + 1))
        .collect();
    format!(
        "[ {{ class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [ {{ seeds: '{}' }} ] }} ]",
        places.join(",")
    )
}

/// Writes a node's files, fit for small tests: little memory, small commit log, every write on its way at once.
fn configure(
    folder: &Path,
    index: usize,
    count: usize,
    first: u16,
    settings: &[(&str, &str)],
) -> io::Result<()> {
    let conf = folder.join("conf");
    fs::create_dir_all(&conf)?;
    let token = token(index, count);
    let all: Vec<_> = (1..=count).collect();
    let at = |name: &str| folder.join(name).display().to_string();
    let usual = [
        ("cluster_name", "postern-tests".to_owned()),
        (
            "partitioner",
            "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
        ),
        ("num_tokens", "1".to_owned()),
        ("initial_token", format!("'{token}'")),
        ("auto_bootstrap", "false".to_owned()),
        ("endpoint_snitch", "GossipingPropertyFileSnitch".to_owned()),
        ("listen_address", format!("127.0.0.{index}")),
        ("rpc_address", format!("127.0.0.{index}")),
        ("native_transport_port", first.to_string()),
        ("storage_port", (first + 1).to_string()),
        ("ssl_storage_port", (first + 2).to_string()),
        ("data_file_directories", format!("[ {} ]", at("data"))),
        ("commitlog_directory", at("commitlog")),
        ("hints_directory", at("hints")),
        ("saved_caches_directory", at("caches")),
        ("cdc_raw_directory", at("cdc")),
        ("commitlog_sync", "periodic".to_owned()),
        ("commitlog_sync_period", "1000ms".to_owned()),
        ("commitlog_segment_size", "16MiB".to_owned()),
        ("commitlog_total_space", "256MiB".to_owned()),
        ("memtable_heap_space", "96MiB".to_owned()),
        ("memtable_offheap_space", "96MiB".to_owned()),
        ("memtable_allocation_type", "offheap_objects".to_owned()),
        ("file_cache_size", "32MiB".to_owned()),
        ("networking_cache_size", "32MiB".to_owned()),
        ("counter_cache_size", "0MiB".to_owned()),
        ("concurrent_compactors", "1".to_owned()),
        ("auto_snapshot", "false".to_owned()),
        ("hinted_handoff_enabled", "true".to_owned()),
        ("storage_compatibility_mode", "NONE".to_owned()),
        ("disk_failure_policy", "stop".to_owned()),
        ("commit_failure_policy", "stop".to_owned()),
        ("paxos_variant", "v2".to_owned()),
        ("seed_provider", seeds(first, &all)),
    ];
    let mut yaml = String::new();
    for (key, value) in &usual {
        if !settings.iter().any(|(named, _)| named == key) {
            yaml.push_str(&format!("{key}: {value}\n"));
        }
    }
    for (key, value) in settings {
        yaml.push_str(&format!("{key}: {value}\n"));
    }
    fs::write(conf.join("cassandra.yaml"), yaml)?;
    fs::write(
        conf.join("cassandra-rackdc.properties"),
        format!("dc=dc1\nrack=r{index}\n"),
    )?;
    fs::write(conf.join("logback.xml"), log_of(&at("system.log")))
}

fn log_of(file: &str) -> String {
    format!(
        "<configuration><appender name='file' class='ch.qos.logback.core.FileAppender'><file>{file}</file>\
         <encoder><pattern>%d{{ISO8601}} %-5level %logger{{0}} %msg%n</pattern></encoder></appender>\
         <root level='INFO'><appender-ref ref='file'/></root></configuration>"
    )
}

fn modules() -> Vec<String> {
    let flag = |flag: &'static str| move |package| [flag.to_owned(), format!("{package}=ALL-UNNAMED")];
    let exported = EXPORTED.split_whitespace().flat_map(flag("--add-exports"));
    let opened = OPENED.split_whitespace().flat_map(flag("--add-opens"));
    exported.chain(opened).collect()
}

fn property(name: &str, path: &Path) -> String {
    format!("-D{name}={}", path.display())
}

fn class_path(folder: &Path, jars: &Path) -> String {
    format!("{}:{}/*", folder.join("conf").display(), jars.display())
}

fn daemon(folder: &Path, jars: &Path, jmx: u16, life: Life, options: &[String]) -> io::Result<Command> {
    let conf = folder.join("conf");
    // The agent that measures memtables; its version is Cassandra's choice.
    let agent = fs::read_dir(jars)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("jamm-"))
        })
        .ok_or_else(|| io::Error::other("no jamm among the jars"))?;
    let out = File::options()
        .create(true)
        .append(true)
        .open(folder.join("out"))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "java", "-Xms256M", "-Xmx640M", "-Xss256k"])
        .args(match life {
            Life::Short => &["-XX:TieredStopAtLevel=1"][..],
            Life::Long => &[],
        })
        .args(["-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=384M"])
        .args([
            "-XX:ActiveProcessorCount=2",
            "-XX:+PerfDisableSharedMem",
            "-Xshare:auto",
        ])
        .args(modules())
        .arg(format!("-javaagent:{}", agent.display()))
        .args([
            "-Djava.net.preferIPv4Stack=true",
            "-Djdk.attach.allowAttachSelf=true",
        ])
        .arg("-Dio.netty.tryReflectionSetAccessible=true")
        .arg(format!(
            "-Dcassandra.config=file://{}",
            conf.join("cassandra.yaml").display()
        ))
        .arg(format!(
            "-Dlogback.configurationFile=file://{}",
            conf.join("logback.xml").display()
        ))
        .arg(property("cassandra.storagedir", folder))
        .arg(property("cassandra.logdir", folder))
        .arg(format!("-Dcassandra.jmx.local.port={jmx}"))
        .args([
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=2000",
        ])
        .args([
            "-Dcassandra.superuser_setup_delay_ms=0",
            "-Dcassandra-foreground=yes",
        ])
        .arg("-Dcassandra.disable_auth_caches_remote_configuration=true")
        .args(options)
        .arg("-cp")
        .arg(class_path(folder, jars))
        .arg("org.apache.cassandra.service.CassandraDaemon")
        .current_dir(folder)
        .env("MALLOC_ARENA_MAX", "2")
        // Ctrl-C is for the process that started it.
        .process_group(0)
        .stdin(Stdio::null())
        .stderr(out.try_clone()?)
        .stdout(out);
    Ok(command)
}

/// Spawns from a thread that lives as long as the process: the kernel counts the death of the thread that
/// spawned (prctl(2), PR_SET_PDEATHSIG), and tests are threads that end.
fn spawn(command: Command) -> io::Result<Child> {
    type Asked = (Command, mpsc::Sender<io::Result<Child>>);
    static KEEPER: OnceLock<Mutex<mpsc::Sender<Asked>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (ask, asked) = mpsc::channel::<Asked>();
        std::thread::spawn(move || {
            // Where that is not allowed they only cost more.
            let _ = coarse_timers();
            for (mut command, answer) in asked {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(ask)
    });
    let (answer, answered) = mpsc::channel();
    let asked = keeper
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer));
    asked.map_err(io::Error::other)?;
    answered.recv().map_err(io::Error::other)?
}

/// Timers of this thread, and of all that it spawns, may be late by a millisecond. A node's idle workers look for
/// work every 10 µs (`SEPWorker`), with Linux's own slack of 50 µs as much as every 60: on few cores that is most of
/// what nodes do. As root or not, a thread may set its own.
fn coarse_timers() -> io::Result<()> {
    let this = fs::read_link("/proc/thread-self")?;
    let thread = this.file_name().ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new("/proc").join(thread).join("timerslack_ns"), "1000000")
}

fn tail(folder: &Path) -> String {
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let text = format!("{}{}", read("system.log"), read("out"));
    let lines: Vec<_> = text.lines().rev().take(25).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
