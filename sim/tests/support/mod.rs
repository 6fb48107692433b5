//! A toy to try the simulator on: a program that keeps one log per partition in a file and answers two
//! requests, append and read, and clients for it. It can be told not to sync.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use ottla::env::{
    Clock as _, Disk as _, Env, File as _, Listener as _, Network, OpenMode, ReadHalf as _, Stream as _,
    Task as _, WriteHalf as _,
};
use ottla_sim::engine::NodeId;
use ottla_sim::env::SimEnv;
use ottla_sim::history::{Key, What};
use ottla_sim::process::Program;
use ottla_sim::run::{Stage, Workload};
use tokio::sync::{Mutex, Notify};

const PORT: u16 = 7;
/// A value, then its complement: torn and lost sectors show.
const RECORD: u64 = 16;

/// The server.
#[derive(Clone)]
pub(crate) struct Toy {
    pub(crate) syncs: bool,
    pub(crate) panics_at: Option<u64>,
}

type File = <<SimEnv as Env>::Disk as ottla::env::Disk>::File;
type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Store {
    toy: Toy,
    disk: <SimEnv as Env>::Disk,
    files: Mutex<std::collections::BTreeMap<i32, File>>,
    failed: Arc<Notify>,
}

fn decode(record: &[u8]) -> Option<u64> {
    let (value, complement) = record.split_first_chunk::<8>()?;
    let value = u64::from_be_bytes(*value);
    (*complement == (!value).to_be_bytes()).then_some(value)
}

impl Store {
    async fn file(&self, partition: i32) -> Result<File, Failure> {
        let mut files = self.files.lock().await;
        if let Some(file) = files.get(&partition) {
            return Ok(file.clone());
        }
        let path = PathBuf::from(format!("/log-{partition}"));
        let file = self.disk.open(&path, OpenMode::CreateOrOpen).await?;
        self.recover(&file).await?;
        self.disk.sync_dir(Path::new("/")).await?;
        files.insert(partition, file.clone());
        Ok(file)
    }

    /// Keeps the records up to the first that is not whole, and makes them durable: an earlier process may
    /// have left them in the page cache alone, and a sync of its that failed may have left them there for
    /// good. So they are written again.
    async fn recover(&self, file: &File) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        file.read_at(0, file.len().await? as usize, &mut bytes).await?;
        let whole = bytes.chunks(RECORD as usize).take_while(|record| decode(record).is_some()).count();
        bytes.truncate(whole * RECORD as usize);
        file.truncate(bytes.len() as u64).await?;
        file.write_at(0, &mut [IoSlice::new(&bytes)])?;
        if self.toy.syncs {
            file.sync().await?;
        }
        Ok(())
    }

    async fn append(&self, partition: i32, value: u64) -> Result<u64, Failure> {
        assert_ne!(self.toy.panics_at, Some(value), "value {value} is unlucky");
        let file = self.file(partition).await?;
        let guard = self.files.lock().await;
        let end = file.len().await?;
        file.write_at(end, &mut [IoSlice::new(&value.to_be_bytes()), IoSlice::new(&(!value).to_be_bytes())])?;
        if self.toy.syncs && file.sync().await.is_err() {
            // Nothing is known of the file any more: this process is not to use it again.
            self.failed.notify_one();
            std::future::pending::<()>().await;
        }
        drop(guard);
        Ok(end / RECORD)
    }

    async fn read(&self, partition: i32, offset: u64) -> Result<Vec<u8>, Failure> {
        let file = self.file(partition).await?;
        // What is not synced yet is not shown.
        let _guard = self.files.lock().await;
        let mut bytes = Vec::new();
        file.read_at(offset * RECORD, 1600, &mut bytes).await?;
        Ok(bytes)
    }

    async fn serve(&self, stream: <<SimEnv as Env>::Network as Network>::Stream) -> Result<(), Failure> {
        let (mut read, mut write) = stream.split();
        let mut buffer = BytesMut::with_capacity(64);
        loop {
            while buffer.len() < 13 {
                buffer.reserve(64);
                if read.read(&mut buffer).await? == 0 {
                    return Ok(());
                }
            }
            let (kind, partition, number) = (buffer.get_u8(), buffer.get_i32(), buffer.get_u64());
            let answer = match kind {
                b'a' => self.append(partition, number).await?.to_be_bytes().to_vec(),
                _ => self.read(partition, number).await?,
            };
            let length = Bytes::copy_from_slice(&(answer.len() as u32).to_be_bytes());
            write.write(&mut vec![length, answer.into()]).await?;
        }
    }
}

impl Program for Toy {
    async fn run(&self, env: SimEnv, stop: Arc<Notify>) -> Result<(), String> {
        let address = std::net::SocketAddr::from(([0, 0, 0, 0], PORT));
        let mut listener = env.network().bind(address).await.map_err(|error| error.to_string())?;
        let failed = Arc::new(Notify::new());
        let (toy, disk) = (self.clone(), env.disk().clone());
        let store = Arc::new(Store { toy, disk, files: Mutex::default(), failed: failed.clone() });
        let here = env.clone();
        let accepting = env.spawn("accept", async move {
            let mut serving = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let store = store.clone();
                serving.push(here.spawn("serve", async move {
                    // A connection that fails is closed; the client asks again.
                    let _ = store.serve(stream).await;
                }));
            }
        });
        let (mut stopped, mut failed) = (std::pin::pin!(stop.notified()), std::pin::pin!(failed.notified()));
        let outcome = std::future::poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            failed.as_mut().poll(context).map(|()| Err("a sync failed".to_owned()))
        });
        let outcome = outcome.await;
        drop(accepting);
        outcome
    }
}

/// Clients of the toy, as the scenario wants them.
#[derive(Clone)]
pub(crate) struct ToyClients;

impl Workload for ToyClients {
    async fn run(&self, stage: Stage) {
        let spawn = |node: NodeId, client: Client| {
            let env = stage.world.env(node);
            env.spawn("client", async move { client.work().await })
        };
        let mut tasks = Vec::new();
        for node in stage.scenario.producers() {
            tasks.push(spawn(node, Client { stage: stage.clone(), node, produces: true }));
        }
        for node in stage.scenario.consumers() {
            tasks.push(spawn(node, Client { stage: stage.clone(), node, produces: false }));
        }
        for task in tasks {
            task.join().await;
        }
    }
}

struct Client {
    stage: Stage,
    node: NodeId,
    produces: bool,
}

impl Client {
    async fn work(&self) {
        let env = self.stage.world.env(self.node);
        let keys = self.stage.scenario.keys();
        let mut count = 0;
        while self.produces && !self.stage.healed.is_so() {
            let key = keys[count % keys.len()];
            self.send(&env, key, count as u64).await;
            count += 1;
            env.clock().sleep(Duration::from_millis(self.stage.scenario.workload.send_every_ms)).await;
        }
        self.stage.healed.wait().await;
        for key in keys {
            if self.produces {
                for _ in 0..100 {
                    count += 1;
                    if self.send(&env, key, count as u64).await {
                        break;
                    }
                    env.clock().sleep(Duration::from_millis(200)).await;
                }
            } else {
                env.clock().sleep(Duration::from_secs(10)).await;
                self.drain(&env, key).await;
            }
        }
    }

    async fn send(&self, env: &SimEnv, key: Key, count: u64) -> bool {
        let value = u64::from(self.node.0) * 1_000_000 + count;
        let (acks, history) = (self.stage.scenario.row.acks, &self.stage.history);
        history.record(self.node, What::Send { key, value, acks });
        match self.ask(env, b'a', key.partition, value).await {
            Ok(answer) => {
                let offset = u64::from_be_bytes(answer[..].try_into().expect("eight bytes")) as i64;
                history.record(self.node, What::Acked { key, value, offset: Some(offset) });
                true
            }
            Err(error) => {
                let error = error.to_string();
                history.record(self.node, What::Failed { key, value, certain: false, error });
                false
            }
        }
    }

    async fn drain(&self, env: &SimEnv, key: Key) {
        self.stage.history.record(self.node, What::Sought { key, offset: 0 });
        let mut next = 0;
        loop {
            let Ok(bytes) = self.ask(env, b'r', key.partition, next).await else { continue };
            if bytes.is_empty() {
                self.stage.history.record(self.node, What::Drained { key, end: next as i64 });
                return;
            }
            let values = bytes.chunks(RECORD as usize).map(|record| decode(record).expect("it is whole"));
            let records: Vec<_> =
                values.enumerate().map(|(n, value)| (next as i64 + n as i64, value)).collect();
            next += records.len() as u64;
            self.stage.history.record(self.node, What::Polled { key, records });
        }
    }

    /// One request on a connection of its own.
    async fn ask(&self, env: &SimEnv, kind: u8, partition: i32, number: u64) -> Result<Vec<u8>, Failure> {
        let deadline = env.clock().now() + Duration::from_secs(2);
        let exchange = async {
            let (mut read, mut write) = env.network().connect("node-1", PORT).await?.split();
            let mut request = vec![kind];
            request.extend(partition.to_be_bytes());
            request.extend(number.to_be_bytes());
            write.write(&mut vec![request.into()]).await?;
            let mut buffer = BytesMut::with_capacity(1024);
            let mut length = None;
            loop {
                if length.is_none() && buffer.len() >= 4 {
                    length = Some(buffer.get_u32() as usize);
                }
                if length.is_some_and(|length| buffer.len() == length) {
                    return Ok::<_, Failure>(buffer.to_vec());
                }
                buffer.reserve(1024);
                if read.read(&mut buffer).await? == 0 {
                    return Err("the connection ended".into());
                }
            }
        };
        let answered = env.clock().timeout_at(deadline, exchange).await;
        if answered.as_ref().is_none_or(Result::is_err) {
            env.clock().sleep(Duration::from_millis(50)).await;
        }
        answered.unwrap_or_else(|| Err("no answer".into()))
    }
}
