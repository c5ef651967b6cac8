//! The programs by themselves; a whole cluster is tested where all programs are.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_executor_without_a_scheduler() {
    let [nobody, port, grpc_port, health_port] = [(); 4].map(|()| listener().1);
    let mut executor = Command::new(env!("CARGO_BIN_EXE_emotion-executor"));
    executor.args(["--bind-host", "127.0.0.1", "--scheduler-host", "127.0.0.1", "--scheduler-port", &nobody]);
    executor.args(["--bind-port", &port, "--bind-grpc-port", &grpc_port, "--bind-health-port", &health_port]);
    let error = error(&executor.output().unwrap());
    assert!(error.contains(&format!("check that the scheduler is at 127.0.0.1:{nobody}")), "{error}");
}

#[test]
fn a_scheduler_whose_port_is_taken() {
    let (_taken, port) = listener();
    let mut scheduler = Command::new(env!("CARGO_BIN_EXE_emotion-scheduler"));
    scheduler.args(["--bind-host", "127.0.0.1", "--bind-port", &port]);
    let error = error(&scheduler.output().unwrap());
    assert!(error.contains("choose another port with --bind-port"), "{error}");
}

#[test]
fn servers_listen_at_this_machine_unless_told_otherwise() {
    for program in [env!("CARGO_BIN_EXE_emotion-scheduler"), env!("CARGO_BIN_EXE_emotion-executor")] {
        let help = Command::new(program).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let host = help.split("--bind-host").nth(1).unwrap();
        assert!(host.split("[default: ").nth(1).unwrap().starts_with("127.0.0.1]"), "{help}");
        for host in ["0.0.0.0", "::", "8.8.8.8"] {
            let error = error(&Command::new(program).args(["--bind-host", host]).output().unwrap());
            assert!(error.contains("neither encryption nor authentication"), "{error}");
        }
    }
}

#[test]
fn wrong_arguments() {
    for program in [env!("CARGO_BIN_EXE_emotion-scheduler"), env!("CARGO_BIN_EXE_emotion-executor")] {
        let output = Command::new(program).args(["--bind-port", "many"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("invalid value 'many'"));
    }
}
