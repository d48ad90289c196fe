//! A cluster of processes on this machine.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A scheduler and its executors, which end with this value.
pub struct Cluster {
    pub scheduler: (String, u16),
    processes: Vec<Child>,
}

/// Returns ports that are free now.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Cluster {
    /// Starts a scheduler and `executors` executors with this number of cores. They write to `folder`.
    pub fn start(binary: &Path, models: &Path, folder: &Path, executors: usize, cores: usize) -> Self {
        let [port] = ports();
        let address = format!("127.0.0.1:{port}");
        let run = |name: &str, args: &[&str]| {
            let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
            let mut command = Command::new(binary);
            command.args(args).env("RUST_LOG", "info").stdout(Stdio::null()).stderr(log);
            command.spawn().unwrap()
        };
        let mut processes = vec![run("scheduler", &["scheduler", "--bind", &address, "--executor-timeout", "10"])];
        for k in 0..executors {
            let [port, grpc_port] = ports();
            let (port, grpc_port, cores) = (port.to_string(), grpc_port.to_string(), cores.to_string());
            let work = folder.join(format!("executor-{k}"));
            let (work, models) = (work.to_str().unwrap(), models.to_str().unwrap());
            let mut args = vec!["executor", "--scheduler", &address, "--models", models, "--folder", work];
            args.extend(["--port", &port, "--grpc-port", &grpc_port, "--cores", &cores, "--heartbeat", "1"]);
            processes.push(run(&format!("executor-{k}"), &args));
        }
        Self { scheduler: ("127.0.0.1".into(), port), processes }
    }

    /// Kills an executor, as a crash or the loss of its machine would.
    pub fn kill_executor(&mut self, k: usize) {
        let executor = &mut self.processes[1 + k];
        assert!(executor.try_wait().unwrap().is_none(), "the executor has ended before");
        executor.kill().unwrap();
        executor.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
