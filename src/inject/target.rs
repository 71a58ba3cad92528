//! Whom a fault hits: asked when it is injected,
//! since who leads may have changed since the last one.

use crate::driver::capability::ClusterView;
use crate::environment::{NodeInfo, NodeRole};
use crate::model::FaultTarget;

pub const NOT_OURS: &str = "this broker was not started by brokerbench: use `--env native`";

/// Indices of the nodes that `target` means now, or why nobody can be told.
pub fn resolve(
    target: FaultTarget,
    nodes: &[NodeInfo],
    cluster: Option<&mut (dyn ClusterView + 'static)>,
) -> Result<Vec<usize>, String> {
    let data: Vec<usize> =
        (0..nodes.len()).filter(|index| nodes[*index].role == NodeRole::Data).collect();
    let Some(&first) = data.first() else {
        return Err(NOT_OURS.into());
    };
    let mut cluster = cluster.ok_or("this system does not tell who leads");
    let mut leader = || match data.len() {
        1 => Ok(first),
        _ => at(
            nodes,
            &cluster
                .as_mut()
                .map_err(|why| (*why).to_owned())?
                .leader(0)
                .map_err(|e| e.to_string())?,
        ),
    };
    match target {
        FaultTarget::Node => Ok(vec![first]),
        FaultTarget::All => Ok(data.clone()),
        FaultTarget::Leader | FaultTarget::Primary => leader().map(|index| vec![index]),
        FaultTarget::Replica => {
            let leader = leader()?;
            let replica = data.iter().find(|index| **index != leader && !nodes[**index].down);
            replica
                .map(|index| vec![*index])
                .ok_or_else(|| "no node besides the leader is up".into())
        }
        FaultTarget::Controller if data.len() == 1 => Ok(vec![first]),
        FaultTarget::Controller => {
            let told = cluster
                .as_mut()
                .map_err(|why| (*why).to_owned())?
                .controller()
                .map_err(|e| e.to_string())?;
            at(nodes, &told).map(|index| vec![index])
        }
    }
}

fn at(nodes: &[NodeInfo], told: &str) -> Result<usize, String> {
    let of = |node: &NodeInfo| {
        node.role == NodeRole::Data && (node.advertised == told || node.address == told)
    };
    nodes
        .iter()
        .position(of)
        .ok_or_else(|| format!("{told}, which leads, is none of the nodes that were started"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::DriverError;

    struct Third;
    impl ClusterView for Third {
        fn leader(&mut self, _: u16) -> Result<String, DriverError> {
            Ok("127.0.0.1:1003".into())
        }
        fn controller(&mut self) -> Result<String, DriverError> {
            Ok("127.0.0.1:2".into())
        }
        fn redundancy(&mut self) -> Result<(u32, u32), DriverError> {
            Ok((3, 3))
        }
        fn reshard(&mut self, _: u16) -> Result<String, DriverError> {
            Ok(String::new())
        }
        fn set(&mut self, _: &str, _: &str) -> Result<String, DriverError> {
            Ok(String::new())
        }
    }

    fn node(number: u16, role: NodeRole) -> NodeInfo {
        NodeInfo {
            name: format!("node {number}"),
            role,
            address: format!("127.0.0.1:{number}"),
            advertised: format!("127.0.0.1:{}", 1000 + number),
            pid: 1,
            down: false,
            restart: None,
        }
    }

    #[test]
    fn who_is_meant_is_asked_of_the_cluster() {
        let mut nodes: Vec<NodeInfo> = (1..=3).map(|number| node(number, NodeRole::Data)).collect();
        nodes.push(node(9, NodeRole::Sentinel));
        let mut third = Third;
        let mut of = |target| resolve(target, &nodes, Some(&mut third));
        assert_eq!(of(FaultTarget::Node), Ok(vec![0]));
        assert_eq!(of(FaultTarget::Leader), Ok(vec![2]), "by what clients are told");
        assert_eq!(of(FaultTarget::Primary), Ok(vec![2]));
        assert_eq!(of(FaultTarget::Controller), Ok(vec![1]), "by where it listens");
        assert_eq!(of(FaultTarget::Replica), Ok(vec![0]));
        assert_eq!(of(FaultTarget::All), Ok(vec![0, 1, 2]), "watchers are no targets");
    }

    #[test]
    fn a_node_that_is_down_replicates_nothing() {
        let mut nodes: Vec<NodeInfo> = (1..=3).map(|number| node(number, NodeRole::Data)).collect();
        nodes[0].down = true;
        assert_eq!(resolve(FaultTarget::Replica, &nodes, Some(&mut Third)), Ok(vec![1]));
        nodes[1].down = true;
        assert!(
            resolve(FaultTarget::Replica, &nodes, Some(&mut Third))
                .unwrap_err()
                .contains("besides the leader")
        );
    }

    #[test]
    fn one_node_leads_without_being_asked_and_nobody_is_not_hit() {
        let nodes = [node(1, NodeRole::Data)];
        assert_eq!(resolve(FaultTarget::Leader, &nodes, None), Ok(vec![0]));
        assert_eq!(resolve(FaultTarget::Controller, &nodes, None), Ok(vec![0]));
        assert!(resolve(FaultTarget::Replica, &nodes, None).is_err());
        assert!(resolve(FaultTarget::Node, &[], None).unwrap_err().contains("--env native"));
        let three: Vec<NodeInfo> = (5..=7).map(|number| node(number, NodeRole::Data)).collect();
        let strange = resolve(FaultTarget::Leader, &three, Some(&mut Third)).unwrap_err();
        assert!(strange.contains("127.0.0.1:1003"), "{strange}");
    }
}
