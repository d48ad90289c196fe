//! copy, gather and scatter_add: exact.

use wgru::Device;
use wgru::kernels::{Copy, Gather, ScatterAdd};

use crate::common::{assert_close, fill, mix};
use crate::reference::elementwise::indices as all_indices;
use crate::{bits, buffer, indices, on_every_backend, poison, read, run, update};

/// A row of the table receives at most a few dozen additions, each rounded once.
const SCATTER: f64 = 3e-7;

on_every_backend![
    copy_moves_by_strides_and_leaves_the_rest,
    gather_takes_rows_exactly,
    gather_gives_nan_past_the_table,
    scatter_add_adds_in_order_and_leaves_other_rows,
];

fn copy_moves_by_strides_and_leaves_the_rest(device: &Device) {
    let plain = |d: [u32; 4]| [d[1] * d[2] * d[3], d[2] * d[3], d[3], 1];
    // Extents, then strides and offset of the source and of the destination.
    let cases = [
        ([1, 1, 1, 1], ([0; 4], 0), ([0; 4], 0)),
        ([1, 1, 1, 335], ([0, 0, 0, 1], 2), ([0, 0, 0, 1], 3)),
        ([1, 1, 67, 5], ([0, 0, 1, 67], 0), ([0, 0, 5, 1], 0)),
        ([2, 3, 5, 7], ([1, 2, 6, 30], 4), (plain([2, 3, 5, 7]), 1)),
        ([3, 2, 3, 11], ([0, 11, 0, 1], 0), (plain([3, 2, 3, 11]), 0)),
        ([1, 2, 67, 2], ([0, 134, 2, 1], 0), ([0, 300, 4, 2], 7)),
    ];
    for (dims, (src_strides, src_offset), (dst_strides, dst_offset)) in cases {
        let kernel = Copy { dims, src_strides, dst_strides, src_offset, dst_offset };
        let reach = |offset: u32, strides: [u32; 4]| offset + (0..4).map(|a| (dims[a] - 1) * strides[a]).sum::<u32>();
        let (src_last, dst_last) = (reach(src_offset, src_strides), reach(dst_offset, dst_strides));
        let src = fill(3, src_last as usize + 1, 1.0);
        let [got] = run(device, &kernel, [&buffer(device, &src)]);
        let mut want = vec![f32::NAN; dst_last as usize + 1];
        for index in all_indices(&dims.map(|d| d as usize)) {
            let at = |strides: [u32; 4]| index.iter().zip(strides).map(|(i, s)| i * s as usize).sum::<usize>();
            want[at(dst_strides) + dst_offset as usize] = src[at(src_strides) + src_offset as usize];
        }
        assert_eq!(bits(&got), bits(&want), "{kernel:?}");
    }
}

/// Rows of the table, their width, and the number of rows taken.
const TABLES: [[u32; 3]; 5] = [[1, 1, 1], [3, 1, 67], [5, 67, 5], [67, 3, 335], [11, 257, 7]];

fn rows_of(table_rows: u32, rows: u32) -> Vec<u32> {
    (0..rows).map(|i| mix(i + 77) % table_rows).collect()
}

fn gather_takes_rows_exactly(device: &Device) {
    for [table_rows, width, rows] in TABLES {
        let (table, index) = (fill(4, (table_rows * width) as usize, 1.0), rows_of(table_rows, rows));
        let kernel = Gather { rows, width, table_rows };
        let [out] = run(device, &kernel, [&buffer(device, &table), &indices(device, &index)]);
        let row = |&i: &u32| table[(i * width) as usize..][..width as usize].to_vec();
        assert_eq!(out, index.iter().flat_map(row).collect::<Vec<_>>(), "{kernel:?}");
    }
}

fn gather_gives_nan_past_the_table(device: &Device) {
    let table = buffer(device, &[1.0, 2.0, 3.0, 4.0]);
    let index = indices(device, &[2, 1, u32::MAX, 0]);
    let [out] = run(device, &Gather { rows: 4, width: 2, table_rows: 2 }, [&table, &index]);
    let at = |i: usize| if out[i].is_nan() { None } else { Some(out[i]) };
    let want = [None, None, Some(3.0), Some(4.0), None, None, Some(1.0), Some(2.0)];
    assert_eq!(std::array::from_fn(at), want);
}

fn scatter_add_adds_in_order_and_leaves_other_rows(device: &Device) {
    for [table_rows, width, rows] in TABLES {
        let mut index = rows_of(table_rows, rows);
        index[0] = table_rows + 3;
        let x = fill(5, (rows * width) as usize, 1.0);
        let mut table = fill(6, (table_rows * width) as usize, 1.0);
        let unused = (0..table_rows).find(|row| !index.contains(row));
        if let Some(row) = unused {
            table[(row * width) as usize..][..width as usize].fill(f32::NAN);
        }
        let kernel = ScatterAdd { rows, width, table_rows };
        let [got] = update(device, &kernel, [&buffer(device, &x), &indices(device, &index)], [&table]);

        let mut want: Vec<f64> = table.iter().map(|&v| v as f64).collect();
        for (i, &row) in index.iter().enumerate().filter(|(_, row)| **row < table_rows) {
            for col in 0..width as usize {
                want[row as usize * width as usize + col] += x[i * width as usize + col] as f64;
            }
        }
        // The unused row still holds its initial NaN; the others hold none.
        let is_unused = |i: &usize| Some((i / width as usize) as u32) == unused;
        assert!((0..got.len()).filter(is_unused).all(|i| got[i].is_nan()));
        let used: Vec<usize> = (0..got.len()).filter(|i| !is_unused(i)).collect();
        if !used.is_empty() {
            let (got, want): (Vec<f32>, Vec<f64>) = used.iter().map(|&i| (got[i], want[i])).unzip();
            assert_close(&format!("{kernel:?}"), &got, &want, SCATTER);
        }
    }
}

/// The same additions give the same bits on every backend, since a single invocation adds each column.
#[test]
fn scatter_add_is_the_same_on_every_backend() {
    let devices = [Some(crate::common::twin()), Some(Device::cpu()), crate::common::gpu()];
    let [table_rows, width, rows] = [7, 67, 335];
    let outs = devices.iter().flatten().map(|device| {
        let x = buffer(device, &fill(8, (rows * width) as usize, 1.0));
        let table = poison(device, (table_rows * width) as usize);
        let fill = wgru::kernels::Fill { len: table_rows * width, value: 0.0 };
        device.run(&fill, [], [&table]).expect("run");
        let kernel = ScatterAdd { rows, width, table_rows };
        device.run(&kernel, [&x, &indices(device, &rows_of(table_rows, rows))], [&table]).expect("run");
        bits(&read(&table))
    });
    let outs: Vec<_> = outs.collect();
    assert!(outs.windows(2).all(|pair| pair[0] == pair[1]));
}
