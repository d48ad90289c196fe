//! Resolves the names of values to numbers, and sorts the nodes topologically.

use std::collections::HashMap;

use super::proto::{Graph, Node};
use super::run::Link;
use crate::error::{Error, Result};

/// Maps the names of values to their numbers.
pub struct Names<'a> {
    slots: HashMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    pub fn new(graph: &Graph<'a>) -> Self {
        // Most nodes produce one value.
        let values = graph.initializers.len() + graph.inputs.len() + graph.nodes.len();
        Self { slots: HashMap::with_capacity(values) }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.slots.get(name).map(|&slot| slot as usize)
    }

    /// Assigns a number to a new value.
    pub fn define(&mut self, name: &'a str, what: &str) -> Result<usize> {
        let bad = |why: &str| Err(Error::format(format!("ONNX {what} {name:?}"), why));
        if name.is_empty() {
            return bad("has no name");
        }
        let slot = self.slots.len();
        if slot == Link::SLOTS {
            return bad("exceeds the maximum number of values");
        }
        if self.slots.insert(name, slot as u32).is_some() {
            return bad("is defined twice");
        }
        Ok(slot)
    }
}

/// Inputs and outputs of all nodes, in the order of the file.
pub struct Links {
    list: Vec<Link>,
    /// For each node, the start of its inputs and of its outputs in `list`; one more entry at the end.
    starts: Vec<[u32; 2]>,
}

impl Links {
    /// Numbers the outputs of the nodes, and resolves their inputs.
    pub fn new<'a>(graph: &Graph<'a>, names: &mut Names<'a>) -> Result<Self> {
        let (nodes, mut made, mut count) = (graph.nodes.len(), names.len(), 0);
        for node in 0..nodes {
            for output in graph.outputs_of(node) {
                count += 1;
                if !output.is_empty() {
                    names.define(output, "output of a node")?;
                }
            }
            count += graph.inputs_of(node).count() + graph.captures_of(node)?.len();
        }
        if count > Link::SLOTS {
            return Err(Error::format("ONNX graph", format!("has {count} inputs and outputs of nodes, too many")));
        }
        let mut out = Self { list: Vec::with_capacity(count), starts: Vec::with_capacity(nodes + 1) };
        for node in 0..nodes {
            let start = out.list.len() as u32;
            // The subgraphs of a node read values of this graph, as if they were further inputs.
            for name in graph.inputs_of(node).chain(graph.captures_of(node)?) {
                out.list.push(match names.find(name) {
                    Some(slot) => Link::to(slot),
                    None if name.is_empty() => Link::NONE,
                    None => {
                        let node = Node::parse(graph.nodes[node])?;
                        return Err(wrong(&node, format!("nothing produces its input {name:?}")));
                    }
                });
            }
            out.starts.push([start, out.list.len() as u32]);
            for name in graph.outputs_of(node) {
                // Outputs were numbered in this order.
                out.list.push(if name.is_empty() { Link::NONE } else { Link::to(made) });
                made += !name.is_empty() as usize;
            }
        }
        out.starts.push([out.list.len() as u32; 2]);
        Ok(out)
    }

    fn range(&self, node: usize) -> [usize; 3] {
        let [first, outputs] = self.starts[node];
        [first, outputs, self.starts[node + 1][0]].map(|at| at as usize)
    }

    /// Returns the inputs and outputs of a node.
    pub fn of(&self, node: usize) -> [&[Link]; 2] {
        let [first, outputs, end] = self.range(node);
        [&self.list[first..outputs], &self.list[outputs..end]]
    }

    /// Removes the inputs that a node absorbed, and returns where its inputs and outputs start and end.
    pub fn built(&mut self, node: usize, absorbed: &[usize]) -> [u32; 3] {
        let [first, outputs, end] = self.range(node);
        for &input in absorbed {
            if let Some(link) = self.list[first..outputs].get_mut(input) {
                *link = Link::NONE;
            }
        }
        [first, outputs, end].map(|at| at as u32)
    }

    pub fn into_list(self) -> Vec<Link> {
        self.list
    }

    /// Returns the nodes in topological order.
    pub fn order(&self, nodes: &[&[u8]], names: &Names) -> Result<Vec<usize>> {
        const NONE: u32 = u32::MAX;
        let mut maker = vec![NONE; names.len()];
        for node in 0..nodes.len() {
            self.of(node)[1].iter().filter_map(|link| link.slot()).for_each(|slot| maker[slot] = node as u32);
        }
        // The readers of each node's outputs, in one list: count them, compute the bounds by a prefix sum, then fill
        // the list.
        let mut missing = vec![0u32; nodes.len()];
        let mut ends = vec![0u32; nodes.len() + 1];
        let edges = |node: usize| {
            let inputs = self.of(node)[0].iter().filter_map(|link| link.slot());
            inputs.map(|slot| maker[slot]).filter(|&from| from != NONE)
        };
        for (node, missing) in missing.iter_mut().enumerate() {
            for from in edges(node) {
                *missing += 1;
                ends[from as usize + 1] += 1;
            }
        }
        (1..ends.len()).for_each(|i| ends[i] += ends[i - 1]);
        let mut readers = vec![0u32; ends[nodes.len()] as usize];
        let mut next = ends.clone();
        for node in 0..nodes.len() {
            for from in edges(node) {
                let at = &mut next[from as usize];
                readers[*at as usize] = node as u32;
                *at += 1;
            }
        }
        drop(next);

        let mut order = Vec::with_capacity(nodes.len());
        order.extend((0..nodes.len()).filter(|&node| missing[node] == 0));
        let mut at = 0;
        while let Some(&done) = order.get(at) {
            at += 1;
            for &reader in &readers[ends[done] as usize..ends[done + 1] as usize] {
                missing[reader as usize] -= 1;
                if missing[reader as usize] == 0 {
                    order.push(reader as usize);
                }
            }
        }
        match missing.iter().position(|&n| n > 0) {
            Some(node) => Err(wrong(&Node::parse(nodes[node])?, "it depends on its own output".into())),
            None => Ok(order),
        }
    }
}

pub(super) fn wrong(node: &Node, why: String) -> Error {
    Error::format(format!("ONNX node {:?} ({})", node.label(), node.op_type), why)
}
