// The page: a device, and six panels that compute on it.
import * as denoise from './denoise.js';
import * as device from './device.js';
import * as forecast from './forecast.js';
import * as gates from './gates.js';
import * as live from './live.js';
import * as model from './model.js';
import * as race from './race.js';

live.start();
denoise.start();
model.start();
gates.start();
race.start();
await Promise.all([forecast.start(), device.start(() => Promise.all([gates.begin(), race.begin()]))]);
document.documentElement.dataset.ready = '';
