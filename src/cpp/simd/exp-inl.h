// e^x on vectors. Include after a vec_*.h.
#pragma once

namespace lpn {
namespace {

// e^x for x <= 0: |error| <= 2 ulp for x >= -87.3 (0 below it, where e^x leaves the normal floats).
// NaN gives NaN. x = n ln 2 + r with |r| <= ln 2 / 2, and a degree-6 Taylor-minimax polynomial for
// e^r (Cephes expf). Smaller x are clamped first: their products would be subnormal, which some
// CPUs compute a hundred times slower. kFma is fma or fma_exact.
template <F32 (*kFma)(F32, F32, F32) = fma>
inline F32 exp_nonpositive(F32 x) {
  const F32 floor = set1<F32>(-87.3f);
  const F32::Mask below = greater(floor, x);
  x = max(floor, x);
  const F32 n = round_even(mul(x, set1<F32>(1.44269504088896341f)));
  F32 r = kFma(n, set1<F32>(-0.693359375f),
               x);  // ln 2 in two parts: the first has 9 bits, so n times it is exact
  r = kFma(n, set1<F32>(2.12194440e-4f), r);
  F32 p = set1<F32>(1.9875691500e-4f);
  p = kFma(p, r, set1<F32>(1.3981999507e-3f));
  p = kFma(p, r, set1<F32>(8.3334519073e-3f));
  p = kFma(p, r, set1<F32>(4.1665795894e-2f));
  p = kFma(p, r, set1<F32>(1.6666665459e-1f));
  p = kFma(p, r, set1<F32>(5.0000001201e-1f));
  p = add(kFma(mul(r, r), p, r), set1<F32>(1.0f));
  // n >= -126 already, but this max also replaces a NaN, which must not be converted to an integer.
  return select(below, zero<F32>(), mul(p, exp2_integral(max(n, set1<F32>(-126.0f)))));
}

}  // namespace
}  // namespace lpn
