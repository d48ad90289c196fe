//! Solves linear equations with positive definite matrices.

/// Returns `L` with `L·Lᵀ = a`, from the lower half of `a`; `None` unless `a` is positive definite.
pub fn cholesky(mut a: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    for i in 0..a.len() {
        for j in 0..=i {
            let (above, below) = a.split_at_mut(i);
            let row = &mut below[0];
            let pivot = if j == i { &row[..j] } else { &above[j][..j] };
            let sum = row[j] - row[..j].iter().zip(pivot).map(|(p, q)| p * q).sum::<f64>();
            row[j] = match j == i {
                true if sum > 0.0 => sum.sqrt(),
                true => return None,
                false => sum / above[j][j],
            };
        }
    }
    Some(a)
}

/// Returns `x` with `L·Lᵀ·x = b`.
pub fn substitute(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut x = b.to_vec();
    for i in 0..x.len() {
        let sum: f64 = (0..i).map(|j| l[i][j] * x[j]).sum();
        x[i] = (x[i] - sum) / l[i][i];
    }
    for i in (0..x.len()).rev() {
        let sum: f64 = (i + 1..x.len()).map(|j| l[j][i] * x[j]).sum();
        x[i] = (x[i] - sum) / l[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cholesky_matches_a_case_solved_by_hand() {
        let l = cholesky(vec![vec![4.0, 0.0], vec![2.0, 10.0]]).unwrap();
        assert_eq!((l[0][0], l[1][0], l[1][1]), (2.0, 1.0, 3.0));
        assert_eq!(substitute(&l, &[8.0, 22.0]), [1.0, 2.0]);
        assert!(cholesky(vec![vec![-1.0]]).is_none());
    }
}
