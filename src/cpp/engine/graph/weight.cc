#include "engine/graph/weight.h"

#include <algorithm>
#include <stdexcept>

namespace lpn {
namespace {

thread_local WideningScope* innermost_scope = nullptr;

}  // namespace

void* WideningMemory::take(std::size_t bytes) {
  const std::size_t room = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (next_.block < blocks_.size() && blocks_[next_.block].size() - next_.used < room) {
    if (next_.used > 0) {
      next_ = {next_.block + 1, 0};
    } else {  // too small and not in use, like all after it
      blocks_.resize(next_.block);
    }
  }
  if (next_.block == blocks_.size()) blocks_.emplace_back(std::max(room, kHugePage));
  void* const taken = blocks_[next_.block].data() + next_.used;
  next_.used += room;
  return taken;
}

WideningScope::WideningScope(WideningMemory& memory)
    : outer_(innermost_scope), memory_(memory), begin_(memory.next_) {
  innermost_scope = this;
}

WideningScope::~WideningScope() {
  memory_.next_ = begin_;
  innermost_scope = outer_;
}

const float* WideningScope::copy(const WeightValues& values) {
  for (const auto& [source, copy] : copies_) {
    if (source == &values) return copy;
  }
  auto* const copy = static_cast<float*>(memory_.take(values.size() * sizeof(float)));
  if (values.type_ == DType::kF32) {
    values.part_->read(copy);
  } else {
    const WideningMemory::Place behind = memory_.next_;
    const auto* halves = static_cast<const Bfloat16*>(values.values_.get());
    if (values.part_ != nullptr) {
      auto* const read = static_cast<Bfloat16*>(memory_.take(values.size() * sizeof(Bfloat16)));
      values.part_->read(read);
      halves = read;
    }
    for (std::size_t i = 0; i < values.size(); ++i) copy[i] = widen(halves[i]);
    memory_.next_ = behind;
  }
  copies_.emplace_back(&values, copy);
  return copy;
}

const float* WeightValues::data() const {
  if (type_ == DType::kF32 && part_ == nullptr) return static_cast<const float*>(values_.get());
  if (innermost_scope == nullptr) {
    throw std::logic_error("a bfloat16 or stored weight is only read while it is packed");
  }
  return innermost_scope->copy(*this);
}

}  // namespace lpn
