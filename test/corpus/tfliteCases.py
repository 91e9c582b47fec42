"""Writes small TFLite models and what TensorFlow Lite's interpreter makes of them, for test/bench/tflite.ts.

    pip install tensorflow-cpu==2.21.0
    python test/corpus/tfliteCases.py DIR [NAME ...]

One model per operator or pattern of operators, as the converter writes it: float, full-integer (INT8), and for some with
float16 or dynamic-range weights; and whole networks of keras.applications with random weights. DIR/index.json lists per
model the names, shapes and types of inputs and outputs; their values are in FILE.inK and FILE.outK, raw.
"""

import json
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers

rng = np.random.default_rng(0)


def weights(*shape, scale=0.4):
    return tf.constant(rng.normal(0, scale, shape).astype(np.float32))


IMAGE = [1, 9, 11, 4]
KERNEL = weights(3, 3, 4, 6)
BIAS = weights(6)
POINT = weights(1, 1, 6, 5)
DEPTH = weights(3, 3, 4, 1)
DEPTH2 = weights(3, 3, 4, 2)
BACK = weights(3, 3, 5, 4)
resize_bilinear = tf.compat.v1.image.resize_bilinear
resize_nearest = tf.compat.v1.image.resize_nearest_neighbor


def conv(x, w=KERNEL, stride=1, padding="SAME", dilations=1):
    return tf.nn.conv2d(x, w, stride, padding, dilations=dilations)


def gate(x):
    y = conv(x)
    s = tf.matmul(tf.nn.relu(tf.matmul(tf.reduce_mean(y, [1, 2]), GATE[0])), GATE[1])
    return y * tf.reshape(tf.sigmoid(s), [1, 1, 1, 6])


def shuffle(x):
    y = tf.transpose(tf.reshape(conv(x), [1, 9, 11, 2, 3]), [0, 1, 2, 4, 3])
    return conv(tf.reshape(y, [1, 9, 11, 6]), POINT)


def attention(x):
    q, k, v = (tf.tensordot(x, m, 1) for m in QKV)
    return tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v)


GATE = [weights(6, 3), weights(3, 6)]
QKV = [weights(8, 8) for _ in range(3)]
DENSE = weights(9 * 11 * 6, 7, scale=0.1)
GROUPED = weights(3, 3, 2, 6)
SLOPES = weights(1, 1, 6)

CASES = {
    "dilated": ([IMAGE], lambda x: tf.nn.relu6(conv(x, dilations=2) + BIAS)),
    "grouped": ([IMAGE], lambda x: conv(x, GROUPED) + BIAS),
    "depthwise": ([IMAGE], lambda x: tf.nn.relu6(tf.nn.depthwise_conv2d(x, DEPTH, [1, 1, 1, 1], "SAME"))),
    "depthwise_multiplier": ([IMAGE], lambda x: tf.nn.depthwise_conv2d(x, DEPTH2, [1, 2, 2, 1], "SAME")),
    "transpose_conv_same": ([[1, 4, 5, 4]], lambda x: tf.nn.conv2d_transpose(x, BACK, [1, 7, 9, 5], 2, "SAME")),
    "transpose_conv_valid": ([[1, 4, 5, 4]], lambda x: tf.nn.conv2d_transpose(x, BACK, [1, 9, 11, 5], 2, "VALID")),
    "pad_conv": ([IMAGE], lambda x: conv(tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]]), stride=2, padding="VALID")),
    "pad_value": ([IMAGE], lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [1, 0]], constant_values=1.5)),
    "mirror_reflect": ([IMAGE], lambda x: tf.pad(conv(x), [[0, 0], [1, 2], [0, 1], [0, 0]], "REFLECT")),
    "mirror_symmetric": ([IMAGE], lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 1], [0, 0]], "SYMMETRIC")),
    "flatten_dense": ([IMAGE], lambda x: tf.nn.relu(tf.matmul(tf.reshape(conv(x), [1, -1]), DENSE))),
    "gate": ([IMAGE], gate),
    "shuffle": ([IMAGE], shuffle),
    "attention": ([[1, 6, 8]], attention),
    "residual": ([IMAGE], lambda x: tf.nn.relu(conv(x) + conv(x, GROUPED))),
    "concat": ([IMAGE], lambda x: tf.concat([conv(x), x, tf.nn.relu(conv(x))], 3)),
    "split": ([IMAGE], lambda x: tf.multiply(*tf.split(conv(x), 2, 3))),
    "strided_slice": ([IMAGE], lambda x: conv(x)[:, 1:-1:2, ::3, 1:]),
    "shrink": ([IMAGE], lambda x: conv(x)[:, 2, :, -1]),
    "gather": ([IMAGE], lambda x: tf.gather(conv(x), [2, 0, 5, 1], axis=3)),
    "stack": ([IMAGE], lambda x: tf.stack([x, x * 2.0], 1)),
    "unstack": ([[1, 3, 7]], lambda x: (lambda a: a[0] - a[2] * a[1])(tf.unstack(x, axis=1))),
    "argmax": ([IMAGE], lambda x: tf.argmax(conv(x), 3)),
    "prelu": ([IMAGE], lambda x: (lambda y: tf.nn.relu(y) - SLOPES * tf.nn.relu(-y))(conv(x))),
    "hard_swish": ([IMAGE], lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6.0)),
    "leaky_relu": ([IMAGE], lambda x: tf.nn.leaky_relu(x, 0.17)),
    "gelu": ([IMAGE], lambda x: tf.nn.gelu(x)),
    "softmax": ([IMAGE], lambda x: tf.nn.softmax(conv(x))),
    "space_to_depth": ([[1, 6, 8, 3]], lambda x: tf.nn.space_to_depth(x, 2)),
    "to_nchw": ([[1, 4, 9, 11]], lambda x: tf.transpose(conv(tf.transpose(x, [0, 2, 3, 1])), [0, 3, 1, 2])),
}
for pad in ("SAME", "VALID"):
    for s in (1, 2, 3):
        CASES[f"conv_{pad}_{s}"] = ([IMAGE], lambda x, p=pad, s=s: tf.nn.relu(conv(x, stride=s, padding=p) + BIAS))
    CASES[f"average_{pad}"] = ([IMAGE], lambda x, p=pad: tf.nn.avg_pool2d(x, 3, 2, p))
    CASES[f"max_{pad}"] = ([IMAGE], lambda x, p=pad: tf.nn.max_pool2d(x, 3, 2, p))
for corners, centers in ((0, 0), (1, 0), (0, 1)):
    for size in ((18, 22), (20, 7), (5, 30)):
        how = {"align_corners": bool(corners), "half_pixel_centers": bool(centers)}
        name = f"{corners}{centers}_{size[0]}"
        CASES[f"bilinear_{name}"] = ([IMAGE], lambda x, z=size, h=how: resize_bilinear(conv(x), z, **h))
        CASES[f"nearest_{name}"] = ([IMAGE], lambda x, z=size, h=how: resize_nearest(conv(x), z, **h))
for op in ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min"):
    for keep in (False, True):
        CASES[f"{op}_{keep}"] = ([IMAGE], lambda x, f=getattr(tf, op), k=keep: f(conv(x), [1, 2], keepdims=k))
SMALL_WEIGHTS = ("conv_SAME_1", "depthwise", "transpose_conv_same", "flatten_dense")


def lenet():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5),
            layers.PReLU(shared_axes=[1, 2]),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def unet():
    i = keras.Input((32, 48, 3))
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(i)
    b = layers.SeparableConv2D(16, 3, padding="same")(layers.MaxPooling2D()(a))
    b = layers.LeakyReLU(0.1)(layers.BatchNormalization()(b))
    c = layers.Concatenate()([a, layers.Conv2DTranspose(8, 3, 2, padding="same")(b)])
    d = layers.Add()([layers.Conv2D(16, 1)(c), layers.UpSampling2D(2, interpolation="bilinear")(b)])
    return keras.Model(i, layers.Conv2D(2, 1, activation="sigmoid")(d))


def application(name, size, **options):
    return lambda: getattr(keras.applications, name)(
        input_shape=(size, size, 3), weights=None, classes=10, **options
    )


# name -> model, largest input
NETS = {
    "lenet": (lenet, 1),
    "unet": (unet, 1),
    "mobilenet": (application("MobileNet", 96, alpha=0.25), 1),
    "mobilenet_v2": (application("MobileNetV2", 96, alpha=0.35), 1),
    "mobilenet_v3_small": (application("MobileNetV3Small", 96), 255),
    "mobilenet_v3_minimal": (application("MobileNetV3Small", 96, minimalistic=True), 255),
    "efficientnet_b0": (application("EfficientNetB0", 96), 255),
    "efficientnet_v2_b0": (application("EfficientNetV2B0", 96), 255),
    "densenet121": (application("DenseNet121", 64), 1),
    "resnet50": (application("ResNet50", 64), 1),
    "inception_v3": (application("InceptionV3", 96), 1),
    "nasnet_mobile": (application("NASNetMobile", 96), 1),
    "xception": (application("Xception", 96), 1),
    "convnext_tiny": (application("ConvNeXtTiny", 64), 1),
}


def randomized(model):
    """Batch norms as after training: scales, shifts and statistics away from 0 and 1."""
    r = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shapes = [w.shape for w in layer.get_weights()]
            draw = [r.uniform(0.5, 1.5, shapes[0]), r.normal(0, 0.3, shapes[1]), r.normal(0, 0.3, shapes[2])]
            layer.set_weights([*draw, r.uniform(0.5, 1.5, shapes[3])])
    return model


def converted(converter, mode, calibration, io):
    if mode != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "int8":
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = io
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def expected(path, draw):
    """Runs the interpreter's plain kernels on one input and writes both sides."""
    kind = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = tf.lite.Interpreter(str(path), experimental_op_resolver_type=kind, num_threads=1)
    interpreter.allocate_tensors()
    entry = {"file": path.name, "inputs": [], "outputs": []}
    for k, d in enumerate(interpreter.get_input_details()):
        value = draw(tuple(d["shape"]))
        if d["dtype"] != np.float32:
            scale, zero = d["quantization"]
            limits = np.iinfo(d["dtype"])
            value = np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(d["dtype"])
        interpreter.set_tensor(d["index"], value)
        path.with_name(f"{path.name}.in{k}").write_bytes(value.tobytes())
        entry["inputs"].append([d["name"], [int(v) for v in value.shape], value.dtype.name])
    interpreter.invoke()
    for k, d in enumerate(interpreter.get_output_details()):
        value = interpreter.get_tensor(d["index"])
        path.with_name(f"{path.name}.out{k}").write_bytes(value.tobytes())
        entry["outputs"].append([d["name"], [int(v) for v in value.shape], value.dtype.name])
    entry["operators"] = sorted({o["op_name"] for o in interpreter._get_ops_details() if o["op_name"] != "DELEGATE"})
    return entry


def main(folder, only):
    folder.mkdir(parents=True, exist_ok=True)
    index = []

    def write(name, mode, kind, make, draw):
        path = folder / f"{name}.{mode}.tflite"
        try:
            if not path.exists():
                path.write_bytes(make())
            index.append({"name": name, "mode": mode, "kind": kind, **expected(path, draw)})
        except Exception as e:  # the converter or the interpreter cannot do this one
            path.unlink(missing_ok=True)
            print(f"left out {name} {mode}: {str(e).splitlines()[0]}")
        (folder / "index.json").write_text(json.dumps(index, indent=1))

    for name, (shapes, f) in CASES.items():
        if only and name not in only:
            continue

        def calibration(shapes=shapes):
            r = np.random.default_rng(5)
            for _ in range(40):
                yield [r.normal(0, 1, s).astype(np.float32) for s in shapes]

        specs = [tf.TensorSpec(s, tf.float32, name=f"in{i}") for i, s in enumerate(shapes)]
        function = tf.function(f, input_signature=specs).get_concrete_function()
        for mode in ("float", "int8", *(("float16", "dynamic") if name in SMALL_WEIGHTS else ())):
            make = lambda: converted(
                tf.lite.TFLiteConverter.from_concrete_functions([function]), mode, calibration, tf.int8
            )
            write(name, mode, "operator", make, lambda s: np.random.default_rng(9).normal(0, 1, s).astype(np.float32))
    for name, (make_net, high) in NETS.items():
        if only and name not in only:
            continue
        keras.utils.set_random_seed(1)
        model = randomized(make_net())
        shape = (1, *model.input_shape[1:])

        def calibration(shape=shape, high=high):
            r = np.random.default_rng(5)
            for _ in range(8):
                yield [r.uniform(0, high, shape).astype(np.float32)]

        for mode in ("float", "int8"):
            make = lambda: converted(tf.lite.TFLiteConverter.from_keras_model(model), mode, calibration, tf.uint8)
            draw = lambda s, h=high: np.random.default_rng(9).uniform(0, h, s).astype(np.float32)
            write(name, mode, "network", make, draw)
    print(len(index), "models")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
