"""Nets that no package of the corpus has: an encoder-decoder, a YOLO-style detector, super-resolution, CBAM and PReLU."""

import torch
from torch import nn
from torch.nn import functional as F


def conv_bn(i, o, k=3, s=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o), act())


class UNet(nn.Module):
    """Ronneberger et al. 2015, four levels, transposed convolutions, concatenated skips."""

    def __init__(self, width=32, classes=3):
        super().__init__()
        widths = [width * 2**i for i in range(4)]
        self.down = nn.ModuleList()
        before = 3
        for w in widths:
            self.down.append(nn.Sequential(conv_bn(before, w), conv_bn(w, w)))
            before = w
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(nn.Sequential(conv_bn(2 * w, w), conv_bn(w, w)) for w in widths[-2::-1])
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        skips = []
        for i, stage in enumerate(self.down):
            x = stage(x if i == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1]):
            x = merge(torch.cat([skip, up(x)], 1))
        return self.last(x)


class C2f(nn.Module):
    """Cross-stage block of YOLOv8: chunk, a chain of bottlenecks, concatenation of everything."""

    def __init__(self, i, o, n, shortcut):
        super().__init__()
        self.shortcut = shortcut
        self.half = o // 2
        self.first = conv_bn(i, o, 1, act=nn.SiLU)
        self.chain = nn.ModuleList(
            nn.Sequential(conv_bn(self.half, self.half, act=nn.SiLU), conv_bn(self.half, self.half, act=nn.SiLU))
            for _ in range(n)
        )
        self.last = conv_bn((2 + n) * self.half, o, 1, act=nn.SiLU)

    def forward(self, x):
        parts = list(self.first(x).chunk(2, 1))
        for block in self.chain:
            y = block(parts[-1])
            parts.append(parts[-1] + y if self.shortcut else y)
        return self.last(torch.cat(parts, 1))


class Sppf(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.first = conv_bn(c, c // 2, 1, act=nn.SiLU)
        self.last = conv_bn(2 * c, c, 1, act=nn.SiLU)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))


class Yolo(nn.Module):
    """YOLOv8-style: C2f backbone, PAN neck, anchor-free decoupled head with distribution focal loss, boxes decoded."""

    def __init__(self, classes=20, bins=16):
        super().__init__()
        c1, c2, c3, c4, c5 = 16, 32, 64, 128, 256
        self.classes, self.bins = classes, bins
        self.stem = conv_bn(3, c1, 3, 2, nn.SiLU)
        self.s2 = nn.Sequential(conv_bn(c1, c2, 3, 2, nn.SiLU), C2f(c2, c2, 1, True))
        self.s3 = nn.Sequential(conv_bn(c2, c3, 3, 2, nn.SiLU), C2f(c3, c3, 2, True))
        self.s4 = nn.Sequential(conv_bn(c3, c4, 3, 2, nn.SiLU), C2f(c4, c4, 2, True))
        self.s5 = nn.Sequential(conv_bn(c4, c5, 3, 2, nn.SiLU), C2f(c5, c5, 1, True), Sppf(c5))
        self.p4 = C2f(c5 + c4, c4, 1, False)
        self.p3 = C2f(c4 + c3, c3, 1, False)
        self.d3 = conv_bn(c3, c3, 3, 2, nn.SiLU)
        self.n4 = C2f(c3 + c4, c4, 1, False)
        self.d4 = conv_bn(c4, c4, 3, 2, nn.SiLU)
        self.n5 = C2f(c4 + c5, c5, 1, False)
        self.box, self.cls = nn.ModuleList(), nn.ModuleList()
        for c in (c3, c4, c5):
            self.box.append(nn.Sequential(conv_bn(c, 64, act=nn.SiLU), conv_bn(64, 64, act=nn.SiLU), nn.Conv2d(64, 4 * bins, 1)))
            self.cls.append(nn.Sequential(conv_bn(c, 64, act=nn.SiLU), conv_bn(64, 64, act=nn.SiLU), nn.Conv2d(64, classes, 1)))
        self.dfl = nn.Conv2d(bins, 1, 1, bias=False)
        self.dfl.weight.data = torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1)

    def forward(self, x):
        x3 = self.s3(self.s2(self.stem(x)))
        x4 = self.s4(x3)
        x5 = self.s5(x4)
        p4 = self.p4(torch.cat([F.interpolate(x5, scale_factor=2.0), x4], 1))
        p3 = self.p3(torch.cat([F.interpolate(p4, scale_factor=2.0), x3], 1))
        n4 = self.n4(torch.cat([self.d3(p3), p4], 1))
        n5 = self.n5(torch.cat([self.d4(n4), x5], 1))
        levels = [torch.cat([b(f), c(f)], 1) for b, c, f in zip(self.box, self.cls, (p3, n4, n5))]
        flat = torch.cat([y.reshape(y.shape[0], 4 * self.bins + self.classes, -1) for y in levels], 2)
        box, cls = flat.split((4 * self.bins, self.classes), 1)
        n, _, a = box.shape
        box = self.dfl(box.view(n, 4, self.bins, a).transpose(2, 1).softmax(1)).view(n, 4, a)
        return torch.cat([box, cls.sigmoid()], 1)


class SuperResolution(nn.Module):
    """EDSR-like: residual blocks without normalisation, PReLU, two PixelShuffle steps of 2, global skip."""

    def __init__(self, c=48, blocks=4):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, c, 5, padding=2), nn.PReLU(c))
        self.body = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.PReLU(c), nn.Conv2d(c, c, 3, padding=1)) for _ in range(blocks)
        )
        self.up = nn.Sequential(
            nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(),
            nn.Conv2d(c, 12, 3, padding=1), nn.PixelShuffle(2),
        )

    def forward(self, x):
        y = first = self.head(x)
        for block in self.body:
            y = y + block(y)
        return self.up(y + first) + F.interpolate(x, scale_factor=4.0, mode="bilinear", align_corners=False)


class Cbam(nn.Module):
    """Convolutional block attention (Woo et al. 2018): channel gate from mean and maximum, then a spatial gate."""

    def __init__(self, c):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(c, c // 4), nn.ReLU(), nn.Linear(c // 4, c))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        mean, top = x.mean((2, 3)), x.amax((2, 3))
        x = x * torch.sigmoid(self.gate(mean) + self.gate(top))[:, :, None, None]
        return x * torch.sigmoid(self.spatial(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))


class CbamNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.stem = conv_bn(3, 32)
        self.stages = nn.ModuleList()
        for i, o in ((32, 64), (64, 128)):
            self.stages.append(nn.Sequential(conv_bn(i, o, 3, 2), conv_bn(o, o), Cbam(o)))
        self.last = nn.Linear(128 * 16, classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.last(F.adaptive_avg_pool2d(x, 4).flatten(1))


class HeadsOf(nn.Module):
    """A torchvision detector without its data-dependent post-processing: backbone and heads."""

    def __init__(self, detector):
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, x):
        out = self.head(list(self.backbone(x).values()))
        return tuple(out[k] for k in sorted(out))


class Segmentation(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]
