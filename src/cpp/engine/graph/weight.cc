#include "engine/graph/weight.h"

#include <stdexcept>

namespace lpn {
namespace {

thread_local WideningScope* innermost_scope = nullptr;

}  // namespace

WideningScope::WideningScope() : outer_(innermost_scope) { innermost_scope = this; }

WideningScope::~WideningScope() { innermost_scope = outer_; }

const float* WideningScope::copy(const WeightValues& values) {
  for (const auto& [source, copy] : copies_) {
    if (source == &values) return copy.get();
  }
  std::unique_ptr<float[]> copy(new float[values.size()]);
  if (values.type_ == DType::kF32) {
    values.part_->read(copy.get());
  } else {
    std::unique_ptr<Bfloat16[]> read;
    const auto* halves = static_cast<const Bfloat16*>(values.values_.get());
    if (values.part_ != nullptr) {
      read.reset(new Bfloat16[values.size()]);
      values.part_->read(read.get());
      halves = read.get();
    }
    for (std::size_t i = 0; i < values.size(); ++i) copy[i] = widen(halves[i]);
  }
  copies_.emplace_back(&values, std::move(copy));
  return copies_.back().second.get();
}

const float* WeightValues::data() const {
  if (type_ == DType::kF32 && part_ == nullptr) return static_cast<const float*>(values_.get());
  if (innermost_scope == nullptr) {
    throw std::logic_error("a bfloat16 or stored weight is only read while it is packed");
  }
  return innermost_scope->copy(*this);
}

}  // namespace lpn
