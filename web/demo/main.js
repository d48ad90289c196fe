// The page: a device, and four panels that compute on it.
import * as device from './device.js';
import * as forecast from './forecast.js';
import * as gates from './gates.js';
import * as live from './live.js';
import * as model from './model.js';

live.start();
model.start();
gates.start();
await Promise.all([forecast.start(), device.start(gates.begin)]);
document.documentElement.dataset.ready = '';
