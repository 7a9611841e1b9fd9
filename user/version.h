/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The one place that says which version this is. */
#ifndef PERPETUO_VERSION_H
#define PERPETUO_VERSION_H

#define PERPETUO_VERSION "0.1.0"

#endif
