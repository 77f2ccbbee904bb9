"""WeChat mini-programs (小程序): who a login code belongs to."""
