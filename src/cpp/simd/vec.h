// What every vec_*.h specialises: the operations whose vector type no argument tells. A vector type
// V has V::Lane, V::kLanes and, where it is compared, V::Mask.
#pragma once

#include "base/bfloat16.h"

namespace lpn {
namespace {

template <class V>
V zero();
template <class V>
V set1(typename V::Lane x);
template <class V>
V iota();
template <class V, class Element>
V load(const Element* p);
template <class V, class Element>
V load_n(const Element* p, int n);
template <class V>
typename V::Mask mask_none();
template <class V>
V set1_pair(const typename V::Lane* p);
template <class V>
V set1_single(const typename V::Lane* p);
template <class V>
V set1_quad(const typename V::Lane* p);
template <class V>
V set1_first(const typename V::Lane* p, int n);

}  // namespace
}  // namespace lpn
