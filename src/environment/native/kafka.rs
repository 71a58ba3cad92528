//! Real Apache Kafka as a process: the JVM runs with the settings of Kafka's own start scripts,
//! since it is measured; but several nodes, which share a machine, get half the heap each.

use super::java::Java;
use super::kafka_jars::Jars;
use super::processes::{NativeBroker, Processes};
use crate::environment::nodes::files::{make_folder, write_file};
use crate::environment::nodes::kafka::{CLUSTER_ID, PERFORMANCE, heap, lay_out, limit, print};
use crate::environment::nodes::{LaunchSpec, run_step};
use crate::environment::{EnvironmentError, Janitor, Launch};
use crate::model::Software;
use crate::scenario::SystemConfig;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const FORMAT: Duration = Duration::from_secs(60);

/// The log of collector pauses, as Kafka's `kafka-server-start.sh` has it written.
const GC_LOG: &str = "-Xlog:gc*:file=gc.log:time,tags:filecount=10,filesize=100M";
/// Formatting is over in half a second and is not measured.
const FORMAT_JVM: &[&str] = &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

const LOGGING: &str = "\
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
";

pub fn start(
    janitor: &Arc<Janitor>,
    java: &Java,
    jars: &Jars,
    config: &SystemConfig,
    number: u32,
) -> Result<NativeBroker, EnvironmentError> {
    let spec = LaunchSpec {
        software: Software::Kafka,
        what: format!("Kafka {}", jars.version),
        home: janitor.folder().join(format!("kafka-{number}")),
        limit: limit(config),
    };
    NativeBroker::start(&spec, || {
        let host = Processes::fresh(janitor, &spec.home, config.preloaded)?;
        let mut plans = Vec::new();
        for (plan, node) in lay_out(config, true)? {
            let home = if config.nodes == 1 {
                spec.home.clone()
            } else {
                spec.home.join(format!("node-{}", node.id))
            };
            let data = home.join("data");
            make_folder(&data)?;
            let settings = node.settings(&data.display().to_string(), Ipv4Addr::LOCALHOST, config);
            write_file(&home.join("server.properties"), &print(&settings))?;
            plans.push((plan, prepare(janitor, java, jars, &home, config)?));
        }
        Ok((host, plans))
    })
}

/// Formats the data folder, and tells how the node is started.
fn prepare(
    janitor: &Janitor,
    java: &Java,
    jars: &Jars,
    home: &Path,
    config: &SystemConfig,
) -> Result<Launch, EnvironmentError> {
    write_file(&home.join("log4j2.properties"), LOGGING)?;
    let command = |jvm: &[&str], main: &[&str]| {
        let mut argv = vec![java.program.display().to_string()];
        argv.extend(jvm.iter().map(|arg| (*arg).to_owned()));
        // Paths relative to the working directory: options of the JVM have their own meaning for
        // `:` and `,`.
        argv.push("-Dlog4j2.configurationFile=log4j2.properties".into());
        argv.extend(["-cp".into(), jars.class_path()]);
        argv.extend(main.iter().map(|&arg| arg.to_owned()));
        argv
    };
    let heap = heap(config.heap.0);
    let jvm = heap.iter().map(String::as_str).chain(PERFORMANCE).chain([GC_LOG]);
    let jvm: Vec<&str> = jvm.collect();
    let launch = |argv: Vec<String>, log: &str| Launch {
        argv,
        env: BTreeMap::new(),
        cwd: home.to_owned(),
        log: home.join(log),
    };
    let format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", "server.properties"];
    let formatting = launch(command(FORMAT_JVM, &format), "format.log");
    run_step(janitor, formatting, "Kafka", "formatting its data folder", FORMAT)?;
    Ok(launch(command(&jvm, &["kafka.Kafka", "server.properties"]), "broker.log"))
}
