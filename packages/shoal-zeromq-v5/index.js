"use strict";

module.exports = require("shoal-zeromq/v5-compat");
