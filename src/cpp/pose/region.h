// The part of an image that the network sees of one person.
#pragma once

namespace lpn {

// Centre and size in image pixels.
struct Region {
  double x, y, w, h;
};

// A box (its corner and size) grown about its centre to `aspect`, width / height, and then by the
// factor `padding`.
inline Region grow_box(const double* xywh, double aspect, double padding) {
  const double w = xywh[2];
  const double h = xywh[3];
  const bool wide = w > aspect * h;
  return {xywh[0] + w / 2, xywh[1] + h / 2, (wide ? w : h * aspect) * padding,
          (wide ? w / aspect : h) * padding};
}

// matrix: row-major 2 x 3, maps (x, y, 1) of a height x width raster over the region to the image.
inline void raster_to_image(const Region& region, double height, double width, double* matrix) {
  const double scale_x = region.w / width;
  const double scale_y = region.h / height;
  matrix[0] = scale_x;
  matrix[1] = 0;
  matrix[2] = region.x - scale_x * (width / 2);
  matrix[3] = 0;
  matrix[4] = scale_y;
  matrix[5] = region.y - scale_y * (height / 2);
}

// Moves x, y of a height x width raster over the region to the image.
inline void move_to_image(const Region& region, double height, double width, float* coordinates) {
  const auto x = static_cast<double>(coordinates[0]);
  const auto y = static_cast<double>(coordinates[1]);
  coordinates[0] = static_cast<float>((x - width / 2) * (region.w / width) + region.x);
  coordinates[1] = static_cast<float>((y - height / 2) * (region.h / height) + region.y);
}

}  // namespace lpn
