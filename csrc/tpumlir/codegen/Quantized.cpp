#include "tpumlir/codegen/Quantized.h"

#include "tpumlir/codegen/Alone.h"
#include "tpumlir/codegen/Families.h"
#include "tpumlir/codegen/Group.h"
#include "tpumlir/codegen/LocalKernel.h"

using namespace mlir;

namespace tpumlir::codegen {

using isa::ArOp;
using support::Rounding;

WholeInput multiRows(Value multi, Range channels) {
  WholeInput rows{multi, aligned(0, {1, channels.size, 1, 2}), {0, 2, 2, 1}};
  rows.begin = 2 * channels.begin;
  return rows;
}

void holdStored(Emitter &em, const Local &stored, const Quantization &type,
                const StoredRange &range) {
  if (range.least > type.least())
    em.ar(ArOp::Max, stored, Operand::integer(int32_t(range.least)), stored);
  if (range.greatest < type.greatest())
    em.ar(ArOp::Min, stored, stored, Operand::integer(int32_t(range.greatest)));
}

ProductZeros::ProductZeros(Value inputValue, Value filterValue) {
  auto zeroOf = [](Value value) {
    std::optional<Quantization> type = Quantization::ofAny(value);
    return type ? type->zeroPoint : 0;
  };
  input = zeroOf(inputValue);
  filter = zeroOf(filterValue);
  unknown = filterValue.getDefiningOp<top::WeightOp>() ? 0 : input;
}

std::optional<Local> ProductZeros::ofFilter(Emitter &em, LaneMemory &scratch,
                                            int64_t channels,
                                            const Local &like) const {
  if (filter == 0)
    return std::nullopt;
  const Nchw size{1, channels, 1, 1};
  const Local zeros =
      compact(scratch.take(compactBytes(size, like.dtype)), size, like.dtype)
          .withSign(like.isSigned);
  em.copyLocal(zeros, Operand::integer(int32_t(filter)));
  return zeros;
}

ProductZeros::Sums ProductZeros::prepare(Emitter &em, LaneMemory &scratch,
                                         const Local &sum, const Local &in,
                                         int64_t kernelH,
                                         int64_t kernelW) const {
  if (unknown == 0)
    return {};
  Sums part;
  part.zeros = scratch.tensor({1, in.size[1], kernelH, kernelW}, in.dtype)
                   .withSign(in.isSigned);
  part.sums = scratch.tensor({1, sum.size[1], 1, 1}, isa::DType::I32);
  em.copyLocal(part.zeros, Operand::integer(int32_t(unknown)));
  return part;
}

void ProductZeros::subtract(
    Emitter &em, const Local &sum, const Sums &part,
    llvm::function_ref<void(const Local &, const Local &, const WindowFields &)>
        convolve) const {
  if (unknown == 0)
    return;
  WindowFields window;
  window.kernelH = part.zeros.size[2];
  window.kernelW = part.zeros.size[3];
  convolve(part.sums, part.zeros, window);
  em.ar(ArOp::Sub, sum, sum, part.sums);
}

void scaleSums(Emitter &em, const Local &result, const Local &sum,
               const Local &multi, const std::optional<Quantization> &type,
               const Relu &relu) {
  if (type) {
    em.requantize(result, sum, multi);
    return holdStored(em, result, *type, relu);
  }
  em.cast(result, sum, Rounding::HalfToEven);
  em.ar(ArOp::Mul, result, result, multi.part(3, 0, 1));
  em.ar(ArOp::Add, result, result, multi.part(3, 1, 1));
  emitRelu(em, result, relu);
}

namespace {

/// A scratch tensor, which has room for words, of another type.
Local scratchAs(const Local &scratch, isa::DType type) {
  return aligned(scratch.addr, scratch.size, type);
}

/// round(x) in the type of `out`; its sign is that of the result.
void toStored(Emitter &em, const Local &out, const Local &x) {
  em.cast(out, x, Rounding::HalfToEven);
}

/// q - zero point in 16 bits; q itself if there is none.
Local centred(Emitter &em, const Local &q, const Quantization &type,
              const Local &scratch) {
  if (type.zeroPoint == 0)
    return q;
  em.ar(ArOp::Sub, scratch, q, Operand::integer(int32_t(type.zeroPoint)));
  return scratch;
}

/// The product of two operands without their zero points, in as many bits as
/// it needs. Of scratch there is a tensor for each, and one for the product.
Local integerProduct(Emitter &em, ArrayRef<Quantization> types,
                     ArrayRef<Local> in, ArrayRef<Local> scratch) {
  SmallVector<Local, 2> q;
  int64_t most = 1;
  for (auto [i, operand] : llvm::enumerate(types)) {
    q.push_back(
        centred(em, in[i], operand, scratchAs(scratch[i], isa::DType::I16)));
    most *= std::max(operand.greatest() - operand.zeroPoint,
                     operand.zeroPoint - operand.least());
  }
  // A command takes operands of one width.
  for (auto [i, local] : llvm::enumerate(q))
    if (local.dtype != q[1 - i].dtype && local.dtype == isa::DType::I8) {
      Local wide = scratchAs(scratch[i], isa::DType::I16);
      em.ar(ArOp::Sub, wide, local, Operand::integer(0));
      local = wide;
    }
  Local result =
      scratchAs(scratch[2], most <= 32767 ? isa::DType::I16 : isa::DType::I32);
  em.ar(ArOp::Mul, result, q[0], q[1]);
  return result;
}

} // namespace

MapProblem quantizedAdd(tpu::AddOp op) {
  MapProblem problem(op, 2);
  problem.strides = true;
  problem.native = true;
  SmallVector<Quantization> types;
  for (Value value : op.getInputs())
    types.push_back(*Quantization::of(value));
  const Quantization type = *Quantization::of(op.getOutput());
  const RescaledSum sum = *RescaledSum::of(types, type);
  const StoredRange range = heldBy(type, op.getDoRelu(), op.getReluLimit());
  problem.relu = {}; // the range has it
  problem.compute = [=](Emitter &em, Math &, const Local &out,
                        ArrayRef<Local> in, ArrayRef<Local> scratch) {
    SmallVector<Local, 2> terms;
    for (auto [i, operand] : llvm::enumerate(types)) {
      Local term = scratchAs(scratch[i], isa::DType::I16);
      Local q = centred(em, in[i], operand, term);
      const int32_t factor = int32_t(sum.factors[i]);
      em.ar(ArOp::Mul, term, q,
            q.dtype == isa::DType::I8 ? Operand::unsignedInteger(factor)
                                      : Operand::integer(factor));
      terms.push_back(term);
    }
    if (type.storage == tpumlir::DType::I8 && type.zeroPoint == 0) {
      em.addShift(out, terms[0], terms[1], -sum.shift, Rounding::HalfToEven);
    } else {
      // It saturates by the sign of its operands, which the result has not.
      Local total = terms[0];
      em.addShift(total, terms[0], terms[1], -sum.shift, Rounding::HalfToEven);
      if (type.zeroPoint != 0)
        em.addShift(total, total, Operand::integer(int32_t(type.zeroPoint)), 0,
                    Rounding::HalfToEven);
      toStored(em, out, total);
    }
    holdStored(em, out, type, range);
  };
  return problem;
}

MapProblem quantizedMul(tpu::MulOp op) {
  MapProblem problem(op, 3);
  problem.strides = true;
  problem.native = true;
  SmallVector<Quantization> types;
  for (Value value : op.getInputs())
    types.push_back(*Quantization::of(value));
  const Quantization type = *Quantization::of(op.getOutput());
  const StoredRange range = heldBy(type, op.getDoRelu(), op.getReluLimit());
  problem.relu = {}; // the range has it
  const double factor =
      productFactor({types[0].scale, types[1].scale}, type.scale);
  problem.compute = [=](Emitter &em, Math &, const Local &out,
                        ArrayRef<Local> in, ArrayRef<Local> scratch) {
    em.requantize(out, integerProduct(em, types, in, scratch), float(factor),
                  float(type.zeroPoint));
    holdStored(em, out, type, range);
  };
  return problem;
}

MapProblem quantizedCast(tpu::CastOp op) {
  MapProblem problem(op, 1);
  problem.native = true;
  const isa::DType from = dtypeOf(op.getInput()), to = dtypeOf(op.getOutput());
  if (std::optional<Quantization> type = Quantization::of(op.getOutput())) {
    problem.strides = true;
    problem.compute = [=](Emitter &em, Math &, const Local &out,
                          ArrayRef<Local> in, ArrayRef<Local> scratch) {
      const Local &t = scratch[0];
      Local x = in[0];
      if (from != isa::DType::F32) {
        em.cast(t, x, Rounding::HalfToEven);
        x = t;
      }
      em.ar(ArOp::Mul, t, x, 1.0f / float(type->scale));
      if (type->zeroPoint != 0)
        em.ar(ArOp::Add, t, t, float(type->zeroPoint));
      toStored(em, out, t);
    };
    return problem;
  }
  const Quantization type = *Quantization::of(op.getInput());
  problem.compute = [=](Emitter &em, Math &, const Local &out,
                        ArrayRef<Local> in, ArrayRef<Local> scratch) {
    const Local &x = to == isa::DType::F32 ? out : scratch[0];
    em.dequantize(x, in[0], float(type.scale), type.zeroPoint);
    castTile(em, out, x);
  };
  return problem;
}

template <> MapProblem mapOf(tpu::RequantFpOp op) {
  MapProblem problem(op, 1);
  problem.native = true;
  problem.strides = true;
  const Quantization type = *Quantization::of(op.getOutput());
  const StoredRange range{op.getLeast().value_or(type.least()),
                          op.getGreatest().value_or(type.greatest())};
  const float scale = float(op.getScale()), offset = float(op.getOffset());
  problem.compute = [=](Emitter &em, Math &, const Local &out,
                        ArrayRef<Local> in, ArrayRef<Local> scratch) {
    // A requantisation takes words of 16 or 32 bits.
    Local wide = scratchAs(scratch[0], isa::DType::I16);
    em.ar(ArOp::Sub, wide, in[0], Operand::integer(0));
    em.requantize(out, wide, scale, offset);
    holdStored(em, out, type, range);
  };
  return problem;
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

namespace {

class LutKernel : public LocalKernel {
public:
  LutKernel(tpu::LutOp op, const LaneView &view)
      : LocalKernel(op.getInput(), view, op.getOutput(), view) {
    wholes.push_back(
        {op.getTable(),
         inEveryLane(0, {1, 1, 1, 256}, isa::kLanes, dtypeOf(op.getTable())),
         {0, 0, 256, 1}});
    looksUp = true;
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    const Local &out = tile.output, &in = tile.inputs[0];
    const Local &table = tile.wholes[0];
    const int64_t plane = out.size[2] * out.size[3];
    if (!tile.isFourfold && plane <= kMaxField)
      return em.lookup(out, table, in);
    // What the parts of a lane hold that the faster form wants it in.
    const bool isInside = isIn(in, isa::kGatherIndices),
               isOutside = isIn(out, isa::kGatherResult);
    const int64_t most = isInside && isOutside ? kMostIndices : kLookupStage;
    eachPart(
        out, tile.isFourfold ? most : kMostIndices,
        [&](int64_t offset, const Nchw &size) {
          auto at = [&](int64_t addr, const Local &local) {
            return aligned(addr, size, local.dtype).withSign(local.isSigned);
          };
          Local index = at(in.addr + offset, in);
          Local result = at(out.addr + offset, out);
          if (!tile.isFourfold)
            return em.lookup(result, table, index);
          if (!isInside) {
            Local staged = at(kStagedIndices, in);
            em.copyLocal(staged, index);
            index = staged;
          }
          Local staged = isOutside ? result : at(kStagedResult, out);
          em.lookupFour(staged, table, index);
          if (!isOutside)
            em.copyLocal(result, staged);
        });
  }

private:
  /// Indices that a command takes, in whole vectors.
  static constexpr int64_t kMostIndices =
      kMaxField / isa::kEuBytes * isa::kEuBytes;

  static bool isIn(const Local &local, const isa::AddressRange &part) {
    return local.addr >= int64_t(part.begin) &&
           local.addr + alignedBytes(local.size, local.dtype) <
               int64_t(part.end);
  }

  /// Calls `fn` with the offset and the size of parts of an aligned tensor of
  /// bytes, each in one row: as many rows of channels as have `most` elements
  /// in a lane, or so many elements of one.
  static void eachPart(const Local &whole, int64_t most,
                       llvm::function_ref<void(int64_t, const Nchw &)> fn) {
    const int64_t plane = whole.size[2] * whole.size[3];
    const int64_t rows = std::max<int64_t>(most / whole.stride[1], 1);
    const int64_t lanes = isa::kLanes;
    for (int64_t n = 0; n < whole.size[0]; ++n)
      for (Range channels : cut(whole.size[1], rows * lanes))
        for (Range range : cut(plane, most))
          fn(n * whole.stride[0] + channels.begin / lanes * whole.stride[1] +
                 range.begin,
             {1, channels.size, 1, range.size});
  }
};

} // namespace

template <> Kernels kernelsOf(tpu::LutOp op, int64_t) {
  auto view = LaneView::of(top::shapeOf(op.getInput()));
  return view ? only<LutKernel>(op, *view) : Kernels();
}
/// By itself a tensor is spread over all lanes, whatever its shape is.
template <> LogicalResult emit(Emitter &em, tpu::LutOp op) {
  const isa::DType type = dtypeOf(op.getInput());
  const int64_t lanes = isa::kLanes;
  // Bytes of a lane: two buffers in the part for the indices of a gather of
  // four at a time, two in that for its result (L15).
  constexpr int64_t kWidth =
      int64_t(isa::kGatherIndices.size()) / 2 - isa::kEuBytes;
  LaneMemory indices(int64_t(isa::kGatherIndices.begin));
  LaneMemory results(int64_t(isa::kGatherResult.begin));
  TileBuffers inputs(indices, type, {1, lanes, 1, kWidth});
  TileBuffers outputs(results, type, {1, lanes, 1, kWidth});
  const Local table = inEveryLane(int64_t(isa::kGatherTable.begin),
                                  {1, 1, 1, 256}, lanes, type);
  Local copy = table;
  for (unsigned i = 0; i < isa::kGatherCopies; ++i) {
    em.loadEveryLane(globalOf(op.getTable()), denseStrides({1, 1, 1, 256}),
                     copy);
    copy.addr += isa::kGatherCopyBytes;
  }
  const Global from = globalOf(op.getInput()), to = globalOf(op.getOutput());
  std::vector<Step> steps;
  const int64_t total = top::elementsOf(top::shapeOf(op.getInput()));
  for (const Block &block : flatBlocks(total, kWidth, {})) {
    const int64_t slot = int64_t(steps.size()), begin = block.begin;
    const Nchw size = block.output.size, stride = block.output.stride;
    const Local in = inputs.stored(slot, size);
    const Local out = outputs.stored(slot, size);
    steps.push_back({[=, &em] { em.load(from + begin, stride, in); },
                     [=, &em] { em.lookupFour(out, table, in); },
                     [=, &em] { em.store(out, to + begin, stride); }});
  }
  runSteps(steps);
  return success(!em.failed());
}

//===----------------------------------------------------------------------===//
// Per channel
//===----------------------------------------------------------------------===//

namespace {

class RequantAxisKernel : public LocalKernel {
public:
  RequantAxisKernel(tpu::RequantFpAxisOp op, const LaneView &view)
      : LocalKernel(op.getInput(), view, op.getOutput(), view),
        type(*Quantization::ofAny(op.getOutput())),
        range{op.getLeast().value_or(type.least()),
              op.getGreatest().value_or(type.greatest())} {
    wholes.push_back(multiRows(op.getMulti(), channels));
    strides = true;
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    // A requantisation takes words of 16 or 32 bits.
    Local wide = tile.scratch.tensor(tile.output.size, isa::DType::I16);
    em.ar(ArOp::Sub, wide, tile.inputs[0], Operand::integer(0));
    em.requantize(tile.output, wide, tile.wholes[0]);
    holdStored(em, tile.output, type, range);
  }

private:
  Quantization type;
  StoredRange range;
};

class MulAxisKernel : public LocalKernel {
public:
  MulAxisKernel(tpu::MulFpAxisOp op, const LaneView &view)
      : LocalKernel(op.getInput(), view, op.getOutput(), view),
        types{*Quantization::ofAny(op.getInput()),
              *Quantization::ofAny(op.getGate())} {
    inputs.push_back({op.getGate(), view});
    wholes.push_back(multiRows(op.getMulti(), channels));
    strides = true;
  }
  void emit(Emitter &em, Math &, const KernelTile &tile) const override {
    SmallVector<Local, 3> scratch;
    for (int i = 0; i < 3; ++i)
      scratch.push_back(tile.scratch.tensor(tile.output.size, isa::DType::I32));
    em.requantize(tile.output, integerProduct(em, types, tile.inputs, scratch),
                  tile.wholes[0]);
  }

private:
  SmallVector<Quantization, 2> types;
};

/// Where the second axis is the one over the lanes.
template <typename Kernel, typename OpTy> Kernels perChannel(OpTy op) {
  ArrayRef<int64_t> shape = top::shapeOf(op.getInput());
  auto view = LaneView::of(shape);
  return view && laneAxes(shape)[1] == 1 ? only<Kernel>(op, *view) : Kernels();
}

} // namespace

template <> Kernels kernelsOf(tpu::RequantFpAxisOp op, int64_t) {
  return perChannel<RequantAxisKernel>(op);
}
template <> LogicalResult emit(Emitter &em, tpu::RequantFpAxisOp op) {
  return emitAlone(em, op);
}

template <> Kernels kernelsOf(tpu::MulFpAxisOp op, int64_t) {
  return perChannel<MulAxisKernel>(op);
}
template <> LogicalResult emit(Emitter &em, tpu::MulFpAxisOp op) {
  return emitAlone(em, op);
}

} // namespace tpumlir::codegen
