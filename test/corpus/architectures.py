"""The architectures of the corpus, with random weights: `build(name)` gives a net in evaluation mode and its input."""

import timm
import torch
import torchvision
from torch import nn

import nets


def tv(name, **options):
    return lambda: torchvision.models.get_model(name, weights=None, **options)


def tm(name, **options):
    return lambda: timm.create_model(name, pretrained=False, **options)


def detector(name, **options):
    def make():
        net = torchvision.models.get_model(name, weights=None, weights_backbone=None, **options)
        return nets.HeadsOf(net)

    return make


def segmenter(name):
    return lambda: nets.Segmentation(
        torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=5, aux_loss=None)
    )


# name: (constructor, height and width of the input)
ARCHITECTURES = {
    "resnet18": (tv("resnet18"), 64),
    "resnet50": (tv("resnet50"), 64),
    "resnext50": (tv("resnext50_32x4d"), 64),
    "wide_resnet50": (tv("wide_resnet50_2"), 64),
    "mobilenet_v1": (tm("mobilenetv1_100"), 64),
    "mobilenet_v2": (tv("mobilenet_v2"), 64),
    "mobilenet_v3_small": (tv("mobilenet_v3_small"), 64),
    "mobilenet_v3_large": (tv("mobilenet_v3_large"), 64),
    "mobilenet_v4": (tm("mobilenetv4_conv_small"), 64),
    "mnasnet": (tv("mnasnet1_0"), 64),
    "efficientnet_b0": (tv("efficientnet_b0"), 64),
    "efficientnet_v2_s": (tv("efficientnet_v2_s"), 64),
    "efficientnet_lite0": (tm("efficientnet_lite0"), 64),
    "regnet_x": (tv("regnet_x_400mf"), 64),
    "regnet_y": (tv("regnet_y_400mf"), 64),
    "shufflenet_v2": (tv("shufflenet_v2_x1_0"), 64),
    "squeezenet": (tv("squeezenet1_1"), 64),
    "densenet121": (tv("densenet121"), 64),
    "googlenet": (tv("googlenet", aux_logits=False, init_weights=False), 64),
    "inception_v3": (tv("inception_v3", aux_logits=False, init_weights=False), 96),
    "xception": (tm("legacy_xception"), 96),
    "ghostnet": (tm("ghostnet_100"), 64),
    "repvgg": (tm("repvgg_a0"), 64),
    "hrnet": (tm("hrnet_w18_small"), 64),
    "dla": (tm("dla34"), 64),
    "cspdarknet": (tm("cspdarknet53"), 64),
    "cspresnet": (tm("cspresnet50"), 64),
    "res2net": (tm("res2net50_26w_4s"), 64),
    "resnest": (tm("resnest14d"), 64),
    "skresnet": (tm("skresnet18"), 64),
    "ecaresnet": (tm("ecaresnetlight"), 64),
    "mixnet": (tm("mixnet_s"), 64),
    "dpn": (tm("dpn68"), 64),
    "convnext": (tm("convnext_atto"), 64),
    "poolformer": (tm("poolformer_s12"), 64),
    "vit_tiny": (tm("vit_tiny_patch16_224", img_size=64), 64),
    "swin_tiny": (tv("swin_t"), 64),
    "mobilevit": (tm("mobilevit_xs"), 64),
    "mobilevit_v2": (tm("mobilevitv2_050"), 64),
    "unet": (nets.UNet, 64),
    "lraspp": (segmenter("lraspp_mobilenet_v3_large"), 96),
    "deeplab_v3": (segmenter("deeplabv3_mobilenet_v3_large"), 96),
    "ssdlite": (detector("ssdlite320_mobilenet_v3_large"), 128),
    "fcos": (detector("fcos_resnet50_fpn"), 128),
    "yolo": (nets.Yolo, 128),
    "super_resolution": (nets.SuperResolution, 32),
    "cbam": (nets.CbamNet, 32),
}

# torchvision's LR-ASPP takes no auxiliary loss.
ARCHITECTURES["lraspp"] = (
    lambda: nets.Segmentation(
        torchvision.models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=5)
    ),
    96,
)


def randomise(net, x, generator):
    """
    Random scales, shifts and statistics everywhere, none at its initial value, but such that signals neither vanish nor
    overflow: statistics are first taken from the input, then disturbed.
    """

    def normal(p, mean, spread):
        p.data = mean + spread * torch.randn(p.shape, generator=generator)

    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for m in net.modules():
            for name, p in m.named_parameters(recurse=False):
                if name == "weight" and p.dim() == 1:
                    p.data = 0.5 + torch.rand(p.shape, generator=generator)
                elif name == "bias":
                    normal(p, 0.0, 0.1)
                elif "gamma" in name or "scale" in name:
                    p.data = 0.3 + 0.4 * torch.rand(p.shape, generator=generator)
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None
        net.train()
        net(x)
        for m, momentum in zip(norms, momenta):
            m.momentum = momentum
            spread = m.running_var.sqrt()
            m.running_mean += 0.2 * spread * torch.randn(spread.shape, generator=generator)
            m.running_var *= 0.7 + 0.7 * torch.rand(spread.shape, generator=generator)
            m.running_var += 1e-3
    net.eval()


def build(name, seed=1):
    """The net, in evaluation mode with random weights, and a batch of one image."""
    make, side = ARCHITECTURES[name]
    torch.manual_seed(seed)
    net = make()
    generator = torch.Generator().manual_seed(seed)
    randomise(net, torch.randn(4, 3, side, side, generator=generator), generator)
    for p in net.parameters():
        p.requires_grad_(True)
    return net, torch.randn(1, 3, side, side, generator=generator)
