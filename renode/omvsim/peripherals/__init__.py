"""Peripheral models, by the type names that board descriptions use (Renode's)."""

from omvsim.peripherals.adc import Adc
from omvsim.peripherals.base import Component, Memory
from omvsim.peripherals.bdma import Bdma
from omvsim.peripherals.combined_input import CombinedInput
from omvsim.peripherals.cortex import CortexM, Dwt, Nvic
from omvsim.peripherals.crc import Crc
from omvsim.peripherals.dac import Dac
from omvsim.peripherals.dbgmcu import Dbgmcu
from omvsim.peripherals.dma import Dma, DmaMux
from omvsim.peripherals.eth.mac import Eth
from omvsim.peripherals.exti import Exti
from omvsim.peripherals.flash import Flash
from omvsim.peripherals.fmc import Fmc
from omvsim.peripherals.gpio import Gpio
from omvsim.peripherals.hsem import Hsem
from omvsim.peripherals.i2c import I2c
from omvsim.peripherals.iwdg import Iwdg
from omvsim.peripherals.led import Led
from omvsim.peripherals.lptim import Lptim
from omvsim.peripherals.mdma import Mdma
from omvsim.peripherals.otg import Otg
from omvsim.peripherals.phy import Phy
from omvsim.peripherals.pwr import Pwr
from omvsim.peripherals.quadspi import Quadspi
from omvsim.peripherals.rcc import Rcc
from omvsim.peripherals.rng import Rng
from omvsim.peripherals.rtc import Rtc
from omvsim.peripherals.sdmmc import Sdmmc
from omvsim.peripherals.spi import Spi
from omvsim.peripherals.spi_flash import SpiFlash
from omvsim.peripherals.syscfg import Syscfg
from omvsim.peripherals.tim import Tim
from omvsim.peripherals.usart import Usart
from omvsim.peripherals.wwdg import Wwdg

#: "Bus.SystemBus" is `sysbus` itself, which has no registers
TYPES: dict[str, type[Component]] = {
    "CPU.CortexM": CortexM,
    "CRC.STM32_CRC": Crc,
    "DMA.STM32DMA": Dma,
    "DMA.STM32LDMA": Bdma,
    "GPIOPort.STM32_GPIOPort": Gpio,
    "I2C.STM32F7_I2C": I2c,
    "IRQControllers.NVIC": Nvic,
    "IRQControllers.STM32H7_EXTI": Exti,
    "MTD.STM32H7_FlashController": Flash,
    "Memory.MappedMemory": Memory,
    "Miscellaneous.CombinedInput": CombinedInput,
    "Miscellaneous.DWT": Dwt,
    "Miscellaneous.LED": Led,
    "Miscellaneous.STM32_DMAMUX": DmaMux,
    "Miscellaneous.STM32H743_RCC": Rcc,
    "Miscellaneous.STM32H7_ADC": Adc,
    "Miscellaneous.STM32H7_DAC": Dac,
    "Miscellaneous.STM32H7_DBGMCU": Dbgmcu,
    "Miscellaneous.STM32H7_FMC": Fmc,
    "Miscellaneous.STM32H7_HSEM": Hsem,
    "Miscellaneous.STM32H7_MDMA": Mdma,
    "Miscellaneous.STM32H7_OTG": Otg,
    "Miscellaneous.STM32H7_PWR": Pwr,
    "Miscellaneous.STM32H7_RNG": Rng,
    "Miscellaneous.STM32H7_RTC": Rtc,
    "Miscellaneous.STM32H7_SDMMC": Sdmmc,
    "Miscellaneous.STM32_SYSCFG": Syscfg,
    "Network.EthernetPhysicalLayer": Phy,
    "Network.SynopsysDWCEthernetQualityOfService": Eth,
    "SPI.GenericSpiFlash": SpiFlash,
    "SPI.STM32H7_QuadSPI": Quadspi,
    "SPI.STM32H7_SPI": Spi,
    "Timers.STM32H7_SystemWindowWatchdog": Wwdg,
    "Timers.STM32L0_LpTimer": Lptim,
    "Timers.STM32_IndependentWatchdog": Iwdg,
    "Timers.STM32_Timer": Tim,
    "UART.STM32F7_USART": Usart,
}
