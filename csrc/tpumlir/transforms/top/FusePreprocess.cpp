#include "tpumlir/transforms/top/Passes.h"
#include "tpumlir/transforms/top/Reading.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"

#include <cmath>
#include <limits>

/// The preprocessing of pictures as operations of the model: what `top.Input`
/// records is done to a frame of bytes. docs/pictures.md states the formats and
/// the arithmetic; `tpumlir.data.frames` does the same on the host.
using namespace mlir;

namespace tpumlir {

#define GEN_PASS_DEF_FUSEPREPROCESS
#include "tpumlir/transforms/top/TopPasses.h.inc"

namespace {

constexpr StringLiteral kOnnxInputs = "module.onnx_inputs";

/// How the bytes of a frame lie.
enum class Lie { Planar, Packed, Yuv420, Nv12, Nv21 };

struct FrameFormat {
  StringLiteral name;
  StringLiteral pixels; ///< its channels in order, spelled like pixel_format
  Lie lie;

  bool isYuv() const { return lie >= Lie::Yuv420; }
};

constexpr FrameFormat kFormats[] = {
    {"RGB_PLANAR", "rgb", Lie::Planar}, {"RGB_PACKED", "rgb", Lie::Packed},
    {"BGR_PLANAR", "bgr", Lie::Planar}, {"BGR_PACKED", "bgr", Lie::Packed},
    {"GRAYSCALE", "gray", Lie::Planar}, {"YUV420_PLANAR", "rgb", Lie::Yuv420},
    {"YUV_NV21", "rgb", Lie::Nv21},     {"YUV_NV12", "rgb", Lie::Nv12},
};

std::string listFormats() {
  return llvm::join(llvm::map_range(kFormats,
                                    [](const FrameFormat &format) {
                                      return format.name.str();
                                    }),
                    ", ");
}

const FrameFormat *findFormat(StringRef name) {
  const auto *found = llvm::find_if(
      kFormats, [&](const FrameFormat &f) { return f.name == name; });
  return found == std::end(kFormats) ? nullptr : found;
}

/// The format that changes neither the order nor the place of the channels;
/// null if there is none.
const FrameFormat *formatOf(StringRef pixels, bool isNhwc) {
  for (const FrameFormat &format : kFormats)
    if (!format.isYuv() && format.pixels == pixels &&
        (pixels == "gray" || (format.lie == Lie::Packed) == isNhwc))
      return &format;
  return nullptr;
}

/// Elements of f32 in a lane beside which their parts fit.
constexpr int64_t kFittingElements = 20000;

/// Factors of BT.601 with limited range in units of 2^-20, OpenCV's.
constexpr int kYuvBits = 20;
constexpr double kLuma = 1220542, kBlueOfU = 2116026, kGreenOfU = -409993,
                 kGreenOfV = -852492, kRedOfV = 1673527;

/// What one input records, and the frame that it becomes.
class Fusion {
public:
  Fusion(top::InputOp input, StringRef onnxType)
      : input(input), onnxType(onnxType), make(input) {}

  /// Why no picture fills the input; empty if one does.
  std::string misfit() {
    if (!input.getDoPreprocess() || !input.getPixelFormat())
      return "no preprocessing is recorded";
    pixels = *input.getPixelFormat();
    isNhwc = input.getChannelFormat().value_or("nchw") == "nhwc";
    std::optional<DType> type = dtypeOf(input.getOutput());
    if (type == DType::U8)
      return "it is a frame already";
    if (type != DType::F32 && type != DType::I32)
      return "expected elements of f32 or i32";
    ArrayRef<int64_t> shape = top::shapeOf(input.getOutput());
    if (shape.size() != 3 && shape.size() != 4)
      return "a picture has rank 4 (or 3), not " + std::to_string(shape.size());
    model.assign(shape.begin(), shape.end());
    SmallVector<int64_t> four(model);
    if (four.size() == 3)
      four.insert(four.begin(), 1);
    batch = four[0];
    height = four[isNhwc ? 1 : 2];
    width = four[isNhwc ? 2 : 3];
    channels = four[isNhwc ? 3 : 1];
    int64_t want = pixels == "gray" ? 1 : pixels == "rgba" ? 4 : 3;
    if (channels != want)
      return std::to_string(channels) + " channels are not those of " +
             pixels.str();
    return "";
  }

  LogicalResult check(const FrameFormat *chosen) {
    const FrameFormat *own = formatOf(pixels, isNhwc);
    format = chosen ? chosen : own;
    if (!own)
      return input->emitError("expected a model that reads rgb, bgr or gray "
                              "pictures to fuse the preprocessing of, got ")
             << pixels << " (preprocess on the host)";
    bool gray = pixels == "gray";
    if (gray != (format->pixels == "gray"))
      return input->emitError("expected ")
             << (gray ? "customization_format GRAYSCALE"
                      : "a customization_format with the channels of a model")
             << " that reads " << pixels << " pictures, got " << format->name
             << (gray ? ""
                      : " (choose another one, or preprocess on the host)");
    frameHeight = height;
    frameWidth = width;
    if (auto dims = input.getResizeDims(); dims && dims->size() == 2) {
      frameHeight = (*dims)[0];
      frameWidth = (*dims)[1];
      // As the vendor has it: those of a YUV file, U and V below Y.
      if (!input.getYuvType().value_or("").empty()) {
        if (frameHeight % 3 != 0)
          return input->emitError("expected resize_dims of a YUV file, 3/2 of "
                                  "the picture's height and its width, got ")
                 << frameHeight << "," << frameWidth;
        frameHeight = frameHeight / 3 * 2;
      }
    }
    if (frameHeight < height || frameWidth < width)
      return input->emitError("expected resize_dims of at least ")
             << height << "," << width << ", the size of the input, got "
             << frameHeight << "," << frameWidth;
    if (format->isYuv() && (frameHeight % 2 || frameWidth % 2))
      return input->emitError("expected a frame of even height and width for ")
             << format->name << ", got " << frameHeight << " x " << frameWidth
             << " (choose RGB_PACKED, or even --resize_dims)";
    if (failed(numbers("mean", input.getMean(), 0, mean)) ||
        failed(numbers("scale", input.getScale(), 1, scale)))
      return failure();
    isInteger = dtypeOf(input.getOutput()) == DType::I32;
    for (int64_t c = 0; isInteger && c < channels; ++c)
      for (float pixel : {0.0f, 255.0f})
        if (double at = double((pixel - mean[c]) * scale[c]);
            std::abs(at) > double(std::numeric_limits<int32_t>::max()))
          return input->emitError("expected (pixel - mean) * scale within 32 "
                                  "bits for an input of integers, got ")
                 << at;
    if (llvm::any_of(input.getOutput().getUsers(),
                     llvm::IsaPred<func::ReturnOp>))
      return input->emitError("expected an input that is no output too, got "
                              "one whose name the frame would take from the "
                              "output (preprocess on the host)");
    return success();
  }

  void run() {
    Value frame = input.getOutput();
    SmallVector<OpOperand *> uses;
    for (OpOperand &use : frame.getUses())
      uses.push_back(&use);
    OpBuilder &b = make.ops();
    b.setInsertionPointAfter(input);
    auto type = RankedTensorType::get(frameShape(), b.getIntegerType(8, false));
    input.getInput().setType(type);
    frame.setType(type);
    input.setCustomizationFormat(format->name);
    input.setAligned(false);

    SmallVector<Value> planes = format->isYuv() ? colours(frame) : parts(frame);
    for (auto [c, plane] : llvm::enumerate(planes))
      plane = scaled(plane, c);
    Value all = joined(planes);
    // A model that turns its input at once reads the planes as they are.
    if (isNhwc && llvm::all_of(uses, isTurn)) {
      all = make.reshape(all, top::shapeOf(all), partLoc("planar"));
      for (OpOperand *use : uses) {
        Operation *turn = use->getOwner();
        Value result = turn->getResult(0);
        result.replaceAllUsesWith(
            make.reshape(all, top::shapeOf(result), turn->getLoc()));
        turn->erase();
      }
      return;
    }
    if (isNhwc && channels > 1)
      all = make.create("top.Permute", all,
                        make.attr("order", ArrayRef<int64_t>{0, 2, 3, 1}));
    all = make.reshape(all, model, partLoc("preprocessed"));
    for (OpOperand *use : uses)
      use->set(all);
  }

private:
  /// The numbers of each channel as f32; one number is for all.
  LogicalResult numbers(StringRef what,
                        const std::optional<SmallVector<double>> &given,
                        float missing, SmallVectorImpl<float> &result) {
    SmallVector<double> list = given.value_or(SmallVector<double>());
    if (list.empty())
      list.push_back(missing);
    if (int64_t(list.size()) != channels && !llvm::all_equal(list))
      return input->emitError("expected ")
             << channels << " values of " << what << " for " << pixels
             << " pictures, got " << list.size();
    for (int64_t c = 0; c < channels; ++c)
      result.push_back(float(list[list.size() == size_t(channels) ? c : 0]));
    return success();
  }

  SmallVector<int64_t> frameShape() const {
    int64_t c = int64_t(format->pixels == "gray" ? 1 : 3);
    SmallVector<int64_t> shape{batch, c, frameHeight, frameWidth};
    if (format->lie == Lie::Packed)
      shape = {batch, frameHeight, frameWidth, c};
    else if (format->isYuv()) // as OpenCV has it: below Y half as many rows
      shape = {batch, frameHeight / 2 * 3, frameWidth};
    if (model.size() == 3)
      shape.erase(shape.begin());
    return shape;
  }

  //===--- Planes ---------------------------------------------------------===//

  /// How many of `rows` stand in the lanes: a divisor, so that a group can cut
  /// the rest; all of them if no divisor fills half of the lanes and the whole
  /// fits.
  static int64_t lanesOf(int64_t rows, int64_t elements) {
    int64_t lanes = 64;
    while (rows % lanes != 0)
      --lanes;
    bool fits = (rows + 63) / 64 * elements <= kFittingElements;
    return lanes < 32 && fits ? rows : lanes;
  }

  /// Rows of a picture as [n, lanes, rows, columns].
  SmallVector<int64_t> spread(int64_t columns) const {
    int64_t lanes = lanesOf(height, columns);
    return {batch, lanes, height / lanes, columns};
  }

  int64_t topRow() const { return frameHeight / 2 - height / 2; }
  int64_t leftColumn() const { return frameWidth / 2 - width / 2; }

  Value every(Value value, int64_t axis, int64_t begin, int64_t step,
              int64_t count) {
    if (step == 1)
      return make.slice(value, axis, begin, count);
    return make.create(
        "top.Slice", {value, make.none(), make.none(), make.none()},
        {make.attr("offset", ArrayRef<int64_t>{begin}),
         make.attr("steps", ArrayRef<int64_t>{step}),
         make.attr("ends", ArrayRef<int64_t>{begin + (count - 1) * step + 1}),
         make.attr("axes", ArrayRef<int64_t>{axis})});
  }

  /// The planes of a frame in the order of the model, cropped.
  SmallVector<Value> parts(Value frame) {
    SmallVector<Value> planes;
    bool packed = format->lie == Lie::Packed;
    Value rows = frame;
    if (packed) {
      rows = make.reshape(rows, {batch, frameHeight, frameWidth * channels});
      rows = make.slice(rows, 1, topRow(), height);
      rows = make.reshape(rows, spread(frameWidth * channels));
      // Whole rows come into the lanes, the channels are parted there: GDMA
      // would fetch them byte by byte.
      rows = cast(rows, "F32");
    } else {
      rows = make.reshape(rows, {batch, channels, frameHeight, frameWidth});
    }
    for (char colour : pixels == "gray" ? StringRef("g") : pixels) {
      int64_t at = pixels == "gray" ? 0 : int64_t(format->pixels.find(colour));
      if (packed) {
        int64_t axis = top::rankOf(rows) - 1;
        planes.push_back(
            every(rows, axis, leftColumn() * channels + at, channels, width));
        continue;
      }
      Value plane = make.slice(make.slice(rows, 1, at, 1), 2, topRow(), height);
      plane = make.reshape(plane, spread(frameWidth));
      planes.push_back(
          make.slice(plane, top::rankOf(plane) - 1, leftColumn(), width));
    }
    return planes;
  }

  Value withNumber(StringRef kind, Value value, double number) {
    return make.create(kind, value, numberAttr(number));
  }
  NamedAttribute numberAttr(double number) {
    OpBuilder &b = make.ops();
    return b.getNamedAttr("const_val", b.getF64FloatAttr(number));
  }
  Value cast(Value value, StringRef to) {
    OpBuilder &b = make.ops();
    return make.create("top.Cast", value,
                       b.getNamedAttr("to", b.getStringAttr(to)));
  }
  Value sum(Value a, Value b) { return make.create("top.Add", {a, b}, {}); }

  /// Red, green and blue in the order of the model, of YUV with half as many
  /// rows and columns of U and V.
  SmallVector<Value> colours(Value frame) {
    int64_t halfRows = frameHeight / 2, halfColumns = frameWidth / 2;
    // Two rows of pixels in a lane, and the one of U and V that is theirs.
    // Where there are more, they count as further pictures.
    int64_t lanes = lanesOf(halfRows, 2 * frameWidth);
    int64_t pieces = batch * halfRows / lanes;
    Value rows = make.reshape(frame, {batch, halfRows * 3, frameWidth});
    Value chroma = make.slice(rows, 1, frameHeight, halfRows);
    Value u, v;
    if (format->lie == Lie::Yuv420) {
      Value both = make.reshape(chroma, {batch, 2, halfRows, halfColumns});
      u = make.slice(both, 1, 0, 1);
      v = make.slice(both, 1, 1, 1);
    } else {
      chroma = make.reshape(chroma, {pieces, lanes, 1, frameWidth});
      chroma = cast(chroma, "F32");
      u = every(chroma, 3, format->lie == Lie::Nv21, 2, halfColumns);
      v = every(chroma, 3, format->lie == Lie::Nv12, 2, halfColumns);
    }
    // They are repeated as f32, which holds them.
    auto centred = [&](Value x) {
      x = make.reshape(x, {pieces, lanes, 1, halfColumns});
      x = dtypeOf(x) == DType::F32 ? x : cast(x, "F32");
      x = make.create("top.Upsample", x,
                      {make.attr("scale_h", 2), make.attr("scale_w", 2)});
      return withNumber("top.AddConst", cast(x, "INT32"), -128);
    };
    u = centred(u);
    v = centred(v);
    Value luma = make.reshape(make.slice(rows, 1, 0, frameHeight),
                              {pieces, lanes, 2, frameWidth});
    luma = withNumber("top.AddConst", cast(luma, "INT32"), -16);
    luma = withNumber("top.MaxConst", luma, 0);
    luma = withNumber("top.MulConst", luma, kLuma);
    auto part = [&](Value x, double factor) {
      return withNumber("top.MulConst", x, factor);
    };
    Value red = part(v, kRedOfV), blue = part(u, kBlueOfU);
    Value green = sum(part(v, kGreenOfV), part(u, kGreenOfU));
    SmallVector<Value> planes;
    Value shift = top::createIndexWeight(
        make.ops(), top::partName(top::tensorName(input.getOutput()), "shift"),
        {1}, {kYuvBits});
    for (char colour : pixels) {
      Value x = colour == 'r' ? red : colour == 'g' ? green : blue;
      x = withNumber("top.AddConst", x, 1 << (kYuvBits - 1));
      x = sum(luma, x);
      OpBuilder &b = make.ops();
      x = make.create(
          "top.Bitwise", {x, shift},
          b.getNamedAttr("mode", b.getStringAttr("ShiftRightSigned")));
      x = withNumber("top.MaxConst", x, 0);
      x = withNumber("top.MinConst", x, 255);
      if (frameHeight != height || frameWidth != width) {
        x = make.reshape(x, {batch, frameHeight, frameWidth});
        x = make.slice(x, 1, topRow(), height);
        x = make.slice(x, 2, leftColumn(), width);
      }
      planes.push_back(x);
    }
    return planes;
  }

  //===--- Numbers --------------------------------------------------------===//

  /// (x - mean) * scale in f32, in the type of the model's input.
  Value scaled(Value plane, size_t c) {
    bool isPlain = mean[c] == 0 && scale[c] == 1;
    if (isInteger && isPlain)
      return dtypeOf(plane) == DType::I32 ? plane : cast(plane, "INT32");
    Value x = dtypeOf(plane) == DType::F32 ? plane : cast(plane, "F32");
    if (mean[c] != 0)
      x = withNumber("top.SubConst", x, mean[c]);
    if (scale[c] != 1)
      x = withNumber("top.MulConst", x, scale[c]);
    if (isInteger)
      return cast(x, "INT32");
    if (onnxType == "float16")
      return cast(x, "F16");
    return onnxType == "bfloat16" ? cast(x, "BF16") : x;
  }

  /// The planes one after the other, [n, channels, rows, columns].
  Value joined(ArrayRef<Value> planes) {
    SmallVector<Value> parts;
    for (Value plane : planes)
      parts.push_back(make.reshape(plane, {batch, 1, height, width}));
    if (parts.size() == 1)
      return parts.front();
    OpBuilder &b = make.ops();
    return make.create("top.Concat", parts,
                       b.getNamedAttr("axis", b.getSI32IntegerAttr(1)));
  }

  Location partLoc(StringRef part) {
    return top::partLoc(input.getLoc(), part);
  }

  /// Whether a use of nhwc is its permutation to nchw.
  static bool isTurn(OpOperand *use) {
    auto permute = dyn_cast<top::PermuteOp>(use->getOwner());
    if (!permute)
      return false;
    SmallVector<int64_t> order = permute.getOrder();
    return order == SmallVector<int64_t>{0, 3, 1, 2} ||
           order == SmallVector<int64_t>{2, 0, 1};
  }

  top::InputOp input;
  StringRef onnxType;
  top::HelperBuilder make;
  const FrameFormat *format = nullptr;
  StringRef pixels;
  bool isNhwc = false, isInteger = false;
  SmallVector<int64_t> model; ///< the shape of the model's input
  int64_t batch = 1, channels = 1, height = 0, width = 0;
  int64_t frameHeight = 0, frameWidth = 0;
  SmallVector<float> mean, scale;
};

struct FusePreprocess : impl::FusePreprocessBase<FusePreprocess> {
  using FusePreprocessBase::FusePreprocessBase;

  void runOnOperation() override {
    if (failed(run()))
      signalPassFailure();
  }

  LogicalResult run() {
    ModuleOp module = getOperation();
    const FrameFormat *format = findFormat(customization_format);
    if (!customization_format.empty() && !format)
      return module.emitError("expected a customization_format of ")
             << listFormats() << ", got " << customization_format.getValue();
    bool any = false;
    std::string why = "it has no inputs";
    for (auto function : module.getOps<func::FuncOp>()) {
      for (auto input :
           llvm::to_vector(function.getBody().front().getOps<top::InputOp>())) {
        StringRef name = top::tensorName(input.getOutput());
        std::string type = onnxTypeOf(name);
        Fusion fusion(input, type);
        if (std::string reason = fusion.misfit(); !reason.empty()) {
          why = (name + ": " + reason).str();
          continue;
        }
        if (failed(fusion.check(format)))
          return failure();
        fusion.run();
        takeBytes(name);
        any = true;
      }
      adoptBodyTypes(function);
    }
    if (any)
      return success();
    return module.emitError(
               "expected an input that pictures fill, with its preprocessing "
               "recorded, got none: ")
           << why
           << " (model_transform and compile record it: --pixel_format, "
              "--channel_format, --mean, --scale)";
  }

  /// What the module says of the inputs of the ONNX file.
  llvm::json::Object onnxInputs() {
    auto text = getOperation()->getAttrOfType<StringAttr>(kOnnxInputs);
    auto value = llvm::json::parse(text ? text.getValue() : "{}");
    if (!value) {
      llvm::consumeError(value.takeError());
      return {};
    }
    llvm::json::Object *object = value->getAsObject();
    return object ? std::move(*object) : llvm::json::Object();
  }

  std::string onnxTypeOf(StringRef name) {
    llvm::json::Object inputs = onnxInputs();
    llvm::json::Object *entry = inputs.getObject(name);
    return entry ? entry->getString("type").value_or("").str() : "";
  }

  /// The input has bytes now, whatever the file has.
  void takeBytes(StringRef name) {
    llvm::json::Object inputs = onnxInputs();
    if (!inputs.erase(name))
      return;
    std::string text;
    llvm::raw_string_ostream out(text);
    out << llvm::json::Value(std::move(inputs));
    getOperation()->setAttr(kOnnxInputs, StringAttr::get(&getContext(), text));
  }
};

} // namespace
} // namespace tpumlir
