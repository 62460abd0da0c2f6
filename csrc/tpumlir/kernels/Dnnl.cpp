#include "tpumlir/kernels/Dnnl.h"

#include <cassert>
#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace tpumlir::kernels {

namespace {

const dnnl::stream &stream() {
  static const dnnl::stream instance(cpu());
  return instance;
}

using dnnl::algorithm;

/// oneDNN's unary algorithm with the same meaning, if there is one.
struct Unary {
  algorithm alg;
  float alpha, beta;
};

std::optional<Unary> unaryOf(const EltStep &step) {
  const float p = float(step.p), q = float(step.q);
  switch (step.op) {
  case EltOp::Relu:
    return Unary{algorithm::eltwise_relu, 0.0f, 0.0f};
  case EltOp::LeakyRelu:
    return Unary{algorithm::eltwise_relu, p, 0.0f};
  case EltOp::Clip:
    return Unary{algorithm::eltwise_clip, p, q};
  case EltOp::HardSwish:
    return Unary{algorithm::eltwise_hardswish, 1.0f / 6.0f, 0.5f};
  case EltOp::HardSigmoid:
    return Unary{algorithm::eltwise_hardsigmoid, p, q};
  case EltOp::AddConst:
    return Unary{algorithm::eltwise_linear, 1.0f, p};
  case EltOp::MulConst:
    return Unary{algorithm::eltwise_linear, p, 0.0f};
  case EltOp::RsubConst:
    return Unary{algorithm::eltwise_linear, -1.0f, p};
  case EltOp::MaxConst:
    return Unary{algorithm::eltwise_clip, p,
                 std::numeric_limits<float>::infinity()};
  case EltOp::MinConst:
    return Unary{algorithm::eltwise_clip,
                 -std::numeric_limits<float>::infinity(), p};
  case EltOp::Abs:
    return Unary{algorithm::eltwise_abs, 0.0f, 0.0f};
  case EltOp::Sigmoid:
    return Unary{algorithm::eltwise_logistic, 0.0f, 0.0f};
  case EltOp::Tanh:
    return Unary{algorithm::eltwise_tanh, 0.0f, 0.0f};
  case EltOp::Swish:
    return Unary{algorithm::eltwise_swish, p, 0.0f};
  default:
    return std::nullopt;
  }
}

std::optional<algorithm> binaryOf(EltOp op) {
  switch (op) {
  case EltOp::Add:
    return algorithm::binary_add;
  case EltOp::Sub:
    return algorithm::binary_sub;
  case EltOp::Mul:
    return algorithm::binary_mul;
  case EltOp::Div:
    return algorithm::binary_div;
  default:
    return std::nullopt;
  }
}

bool commutes(EltOp op) { return op == EltOp::Add || op == EltOp::Mul; }

} // namespace

const dnnl::engine &cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc memoryDesc(const Dims &dims, const Dims &strides) {
  return {dims, dnnl::memory::data_type::f32, strides};
}

dnnl::memory::desc memoryDesc(const TensorDesc &desc) {
  return memoryDesc(desc.dims, desc.strides());
}

constexpr static size_t kLargePageBytes = 2 * 1024 * 1024;

std::shared_ptr<void> allocate(size_t bytes) {
  // Of the large pages that the system may give, one stands for 512 of the
  // usual ones, each of which costs when it is first touched.
  const bool large = bytes >= 2 * kLargePageBytes;
  const size_t alignment = large ? kLargePageBytes : 64;
  void *data = std::aligned_alloc(alignment, (bytes + 64 + alignment - 1) /
                                                 alignment * alignment);
  if (!data)
    throw std::bad_alloc();
  if (large)
    madvise(data, bytes, MADV_HUGEPAGE);
  return {data, std::free};
}

static std::shared_ptr<void> packed(const void *data,
                                    const dnnl::memory::desc &from,
                                    const dnnl::memory::desc &to) {
  std::shared_ptr<void> result = allocate(to.get_size());
  dnnl::memory source(from, cpu(), const_cast<void *>(data));
  dnnl::memory target(to, cpu(), result.get());
  dnnl::stream order(cpu());
  dnnl::reorder(source, target).execute(order, source, target);
  return result;
}

std::shared_ptr<void> PackCache::pack(const void *data,
                                      const dnnl::memory::desc &from,
                                      const dnnl::memory::desc &to,
                                      bool lasting) {
  if (!lasting)
    return packed(data, from, to);
  std::lock_guard lock(mutex);
  auto [begin, end] = entries.equal_range(data);
  for (auto it = begin; it != end; ++it)
    if (it->second.from == from && it->second.to == to)
      return it->second.packed;
  std::shared_ptr<void> result = packed(data, from, to);
  entries.insert({data, {from, to, result}});
  return result;
}

size_t Primitive::add(int index, const dnnl::memory::desc &desc, void *data) {
  memories.emplace_back(desc, cpu(), data);
  arguments.push_back({index, memories.back().get()});
  return memories.size() - 1;
}

void Primitive::execute() const {
  // The C call takes the list as it stands; the C++ one would copy a map.
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(primitive.get(), stream().get(),
                             int(arguments.size()), arguments.data()),
      "could not execute a primitive");
}

PostOps postOpsOf(const EltProgram &tail, std::span<const TensorDesc> inputs,
                  const TensorDesc &output) {
  PostOps result;
  assert(tail.inputs == int(inputs.size()) + 1 && "one operand is the result");
  int current = 0;
  for (const EltStep &step : tail.steps) {
    bool last = &step == &tail.steps.back();
    int next = tail.inputs + int(result.steps);
    if (tail.uses(current) != 1)
      break;
    if (std::optional<Unary> unary = unaryOf(step)) {
      if (step.operands[0] != current)
        break;
      result.ops.append_eltwise(unary->alg, unary->alpha, unary->beta);
      result.hidesNan |= unary->alg != algorithm::eltwise_linear &&
                         unary->alg != algorithm::eltwise_abs;
    } else {
      std::optional<algorithm> alg = binaryOf(step.op);
      bool slope = step.op == EltOp::PRelu;
      if (!alg && !slope)
        break;
      int other = -1;
      if (step.operands[0] == current)
        other = step.operands[1];
      else if (commutes(step.op) && step.operands[1] == current)
        other = step.operands[0];
      if (other < 1 || other >= tail.inputs)
        break;
      // Full tensors and vectors along the channels.
      TensorDesc desc = inputs[size_t(other - 1)];
      Dims dims(size_t(output.rank() - desc.rank()), 1);
      dims.insert(dims.end(), desc.dims.begin(), desc.dims.end());
      Dims channels(dims.size(), 1);
      if (channels.size() > 1)
        channels[1] = output.dims[1];
      bool full = desc.dims == output.dims && desc.sameOrder(output);
      if (dims != channels && (!full || slope))
        break;
      int post = result.ops.len();
      dnnl::memory::desc md =
          full ? memoryDesc(output)
               : memoryDesc(TensorDesc::plain(DType::F32, dims));
      if (slope) {
        result.ops.append_prelu(1 << 1);
        md = memoryDesc({output.dims[1]}, {1});
      } else {
        result.ops.append_binary(*alg, md);
      }
      result.operands.push_back({post, other, slope, md});
    }
    ++result.steps;
    current = next;
    if (last)
      break;
  }
  return result;
}

std::optional<EltProgram> remainder(const EltProgram &tail, size_t steps) {
  if (steps == tail.steps.size())
    return std::nullopt;
  if (steps == 0)
    return tail;
  // The result so far takes the place of input 0.
  EltProgram rest;
  rest.inputs = tail.inputs;
  int current = tail.inputs + int(steps) - 1;
  for (size_t s = steps; s < tail.steps.size(); ++s) {
    EltStep step = tail.steps[s];
    for (int &operand : step.operands) {
      if (operand == current)
        operand = 0;
      else if (operand > current)
        operand -= int(steps);
    }
    rest.steps.push_back(step);
  }
  return rest;
}

bool hasSlowPostOps(const std::string &implementation) {
  // A deconvolution that is a convolution turned round, "conv:any+jit:...", has
  // reference code for them: two factors per channel behind 302 million
  // multiply-adds took 117 ms on two cores instead of 4.
  return implementation.find("ref") != std::string::npos ||
         implementation.starts_with("conv:");
}

} // namespace tpumlir::kernels
